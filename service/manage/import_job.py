"""The part of an import that opens a stranger's files, in a child process: the package is built and run once."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from service.manage.build_package import build
from service.manage.verify_package import session
from service.repository import verifier
from service.sandbox.json_channel import Channel
from service.sandbox.limited_job import Report, answer


def main(channel: Channel) -> None:
    """Does one import for import_network.py."""
    answer(channel, build_and_verify)


def build_and_verify(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Writes the package into the folder `workspace`; returns its digest. Raises PackageError."""
    options = request["options"]
    report("reading")
    draft = build(argparse.Namespace(**options | {"source": Path(options["source"])}), Path(request["workspace"]))
    report("running")
    package, network = verifier.read_verified(draft, open_session=partial(session, "cpu"))
    return {"sha256": package.sha256, "provider": network.provider}
