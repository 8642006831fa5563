"""Tests of verdicts: they last as long as the folder and the operator's wishes do."""

import errno
from pathlib import Path

import pytest

from models.errors import PackageError
from models.package import Package
from service.errors import NotReady
from service.repository.invalid_package import InvalidPackage
from service.repository.prover import NotProvedYet
from service.repository.state import InactivePackage
from service.repository.verdicts import Verdicts
from tests import tiny

FOLDER, STAMP = Path("digits/1.0"), (("rdf.yaml", 1, 2, 3),)


def test_a_verdict_lasts_until_the_folder_changes(tmp_path: Path) -> None:
    package: Package = tiny.brightness(tmp_path)
    verdicts = Verdicts()
    verdicts.accept(FOLDER, STAMP, InactivePackage(package))
    verdicts.discard({FOLDER: STAMP}, retry_invalid=True)
    assert verdicts.of(FOLDER) == InactivePackage(package)
    verdicts.discard({FOLDER: (("rdf.yaml", 1, 9, 3),)}, retry_invalid=False)
    assert verdicts.of(FOLDER) is None


def test_an_operator_s_change_has_invalid_packages_checked_again() -> None:
    verdicts = Verdicts()
    verdicts.refuse(FOLDER, STAMP, PackageError("It is wrong."))
    assert verdicts.every(InvalidPackage, {FOLDER: STAMP}) == (InvalidPackage("digits", "1.0", "It is wrong."),)
    assert not verdicts.must_retry()
    verdicts.discard({FOLDER: STAMP}, retry_invalid=False)
    assert verdicts.of(FOLDER)
    verdicts.discard({FOLDER: STAMP}, retry_invalid=True)
    assert verdicts.of(FOLDER) is None


def test_what_may_pass_is_checked_again() -> None:
    for error in (
        NotProvedYet(),
        NotReady("Its memory is not free yet."),
        OSError(errno.EMFILE, "Too many open files"),
    ):
        verdicts = Verdicts()
        verdicts.refuse(FOLDER, STAMP, error)
        assert verdicts.must_retry()
        verdicts.discard({FOLDER: STAMP}, retry_invalid=False)
        assert verdicts.of(FOLDER) is None


def test_a_folder_without_a_description_is_refused_until_it_has_one() -> None:
    verdicts = Verdicts()
    other = Path("digits/2.0")
    verdicts.refuse_unproved({FOLDER: STAMP, other: ()})
    assert verdicts.of(FOLDER) is None
    refused = verdicts.of(other)
    assert isinstance(refused, InvalidPackage)
    assert refused.reason == "rdf.yaml cannot be read: it is missing, or its folder cannot be read."
    assert not verdicts.must_retry()
    verdicts.discard({other: STAMP}, retry_invalid=False)
    assert verdicts.of(other) is None


def test_a_folder_whose_name_is_no_text_is_refused() -> None:
    verdicts = Verdicts()
    folders = [Path("digits/\udcff"), Path("\udcff/1.0")]
    verdicts.refuse_unproved(dict.fromkeys(folders, STAMP))
    assert [verdicts.of(folder) for folder in folders] == [
        InvalidPackage("digits", r"\udcff", "The names of its folders are not UTF-8."),
        InvalidPackage(r"\udcff", "1.0", "The names of its folders are not UTF-8."),
    ]


def test_what_was_not_foreseen_refuses_the_folder_and_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = Verdicts()
    verdicts.refuse(FOLDER, STAMP, PackageError("It is wrong."))
    assert capsys.readouterr().err == ""
    verdicts.refuse(FOLDER, STAMP, TypeError("x"))
    assert isinstance(verdicts.of(FOLDER), InvalidPackage)
    assert '"kind":"TypeError"' in capsys.readouterr().err
