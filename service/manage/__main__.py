"""The command line: `python -m service.manage list|verify|import|migrate|promote|rollback|audit|key`."""

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
    """The exit status: 1 where something is wrong, with a sentence that says what."""
    parser = argparse.ArgumentParser(
        prog="python -m service.manage",
        description="Manages the folder of models that STRIATE_MODELS names, which a running service follows at once; "
        "checks the audit log; makes API keys.",
    )
    commands = parser.add_subparsers(required=True, dest="command", metavar="|".join(COMMANDS))
    for name, module in COMMANDS.items():
        module.options(commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0]))
    given = parser.parse_args(arguments)
    try:
        status: int = COMMANDS[given.command].run(given, load_settings().models)
    except (StriateError, OSError) as error:
        sys.stderr.write(f"striate: {error}\n")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
