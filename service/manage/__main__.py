"""Command line: `python -m service.manage list|verify|import|migrate|promote|rollback|audit|key`."""

import argparse
import sys
from collections.abc import Sequence

from models.errors import StriateError
from service.manage import (
    create_key,
    import_network,
    list_models,
    migrate_package,
    promote,
    rollback,
    verify_audit_log,
    verify_package,
)
from service.settings import load_settings

COMMANDS = {
    "list": list_models, "verify": verify_package, "import": import_network, "migrate": migrate_package,
    "promote": promote, "rollback": rollback, "audit": verify_audit_log, "key": create_key,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit status, 1 after an error that is printed."""
    parser = argparse.ArgumentParser(
        prog="python -m service.manage",
        description="Manages the models in the folder STRIATE_MODELS; a running service applies changes at once. "
        "Also verifies the audit log and creates API keys.",
    )
    commands = parser.add_subparsers(required=True, dest="command", metavar="|".join(COMMANDS))
    for name, module in COMMANDS.items():
        module.options(commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0]))
    options = parser.parse_args(arguments)
    try:
        status: int = COMMANDS[options.command].run(options, load_settings().models)
    except (StriateError, OSError) as error:
        sys.stderr.write(f"striate: {error}\n")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
