"""Command line `python -m service --port 3000`: runs `bentoml serve service.app:Striate` without telemetry."""

import argparse
import os
import sys

GRACE_S = 35  # for requests that run when the service is told to end; compose and the chart kill it after 40
NO_TELEMETRY = {
    "BENTOML_DO_NOT_TRACK": "True",  # BentoML reads it before it imports this service
    "ORT_DISABLE_TELEMETRY": "1",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serves the model packages under STRIATE_MODELS; docs/configuration.md has every setting.",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; other than 127.0.0.1 needs STRIATE_KEYS"
    )
    parser.add_argument("--port", default=3000, type=int)
    parser.add_argument(
        "--quiet", action="store_true", help="print the log's lines of JSON, and no other text but errors"
    )
    arguments = parser.parse_args()
    options = ["--host", arguments.host, "--port", str(arguments.port), "--timeout-graceful-shutdown", str(GRACE_S)]
    options += ["--quiet"] if arguments.quiet else []
    command = [sys.executable, "-m", "bentoml", "serve", "service.app:Striate", *options]
    os.execve(sys.executable, command, NO_TELEMETRY | dict(os.environ))  # noqa: S606  the same process receives the signals


if __name__ == "__main__":
    main()
