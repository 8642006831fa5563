"""Command line `python -m benchmarks [name ...]`: runs benchmarks, and prints Markdown."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import ceiling, encoding, idle, maps, overhead, report, roofline, serving, start
from benchmarks.plan import Plan
from benchmarks.report import Section

BENCHMARKS: dict[str, Callable[[Plan], Iterator[Section]]] = {
    "overhead": overhead.run,
    "soak": overhead.soak,
    "serving": serving.run,
    "ceiling": ceiling.run,
    "idle": idle.run,
    "start": start.run,
    "maps": maps.run,
    "encoding": encoding.run,
    "roofline": roofline.run,
}


def main() -> None:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended too
    plan = Plan(rounds=given.rounds, seconds=given.seconds, networks=tuple(given.networks))
    parts = [report.machine()]
    print(parts[0], flush=True)
    for name in given.names or BENCHMARKS:
        for section in BENCHMARKS[name](plan):
            parts.append(str(section))
            print(f"\n{section}", flush=True)
            if given.to:
                given.to.write_text("\n\n".join(parts) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; default all")
    parser.add_argument("--rounds", type=int, help="how often each side is measured")
    parser.add_argument("--seconds", type=float, help="of load on a side in a round")
    parser.add_argument("--networks", nargs="+", default=[], help="those to measure, where a benchmark takes several")
    parser.add_argument("--to", type=Path, help="a file for the same Markdown")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    return given


if __name__ == "__main__":
    main()
