"""`python -m service --port 3000`: becomes `bentoml serve service.app:Striate`, which reports to nobody."""

import argparse
import os
import sys

QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",  # read by BentoML before it imports anything of ours
    "ORT_DISABLE_TELEMETRY": "1",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serves the model packages under STRIATE_MODELS; docs/configuration.md has every setting.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; beyond 127.0.0.1 with STRIATE_KEYS")
    parser.add_argument("--port", default=3000, type=int)
    given = parser.parse_args()
    where = ["--host", given.host, "--port", str(given.port)]
    command = [sys.executable, "-m", "bentoml", "serve", "service.app:Striate", *where]
    os.execve(sys.executable, command, QUIET | dict(os.environ))  # noqa: S606  the same process: it gets our signals


if __name__ == "__main__":
    main()
