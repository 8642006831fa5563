"""Tests of the prover: proofs run side by side, are waited for with patience, and cancelled when out of date."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.errors import PackageError
from service.repository import scan
from service.repository.prover import NotProvedYet, ProofOptions, Prover
from tests.service.repository.hostile_packages import (
    ENDLESS,
    ENDLESS_FOR_MANY,
    LARGE_AND_ENDLESS,
    Damage,
    write_hostile,
)
from tests.service.repository.versions import write_version

pytestmark = pytest.mark.anyio


@contextmanager
def proving(*, timeout_s: float = 60, on_late=lambda: None) -> Iterator[Prover]:
    prover = Prover(ProofOptions(timeout_s), on_late=on_late)
    try:
        yield prover
    finally:
        prover.close()


def endless_version(root: Path, number: str) -> Path:
    folder = write_version(root, number, like="1.0").folder
    ENDLESS(folder)
    return folder


async def test_a_proof_names_what_it_proved(tmp_path: Path) -> None:
    package = write_version(tmp_path, "1.0")
    with proving() as prover:
        stamp = scan.stamp(package.folder)
        proof = await prover.proof(package.folder, stamp, runs=True)
        assert proof.sha256 == package.sha256
        assert proof.element_bytes >= 0
        assert (await prover.proof(package.folder, stamp, runs=False)).element_bytes == 0
        assert not prover.is_busy


async def test_whatever_a_folder_causes_is_its_own_outcome() -> None:
    """Its name cannot be told to the child, which is no error that was foreseen."""
    folder = Path("digits/\udcff")
    with proving() as prover:
        assert not await prover.passes(folder, (), has_next=False)
        with pytest.raises(TypeError):
            await prover.proof(folder, (), runs=True)
        assert not prover.is_busy


@pytest.mark.slow
async def test_an_endless_one_is_refused_in_its_time_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repository.prover.FIRST_PATIENCE_S", 0.5)
    late = asyncio.Event()
    loop = asyncio.get_running_loop()
    endless, sound = endless_version(tmp_path, "2.0"), write_version(tmp_path, "1.0").folder
    with proving(timeout_s=8, on_late=lambda: loop.call_soon_threadsafe(late.set)) as prover:
        stamp = scan.stamp(endless)
        with pytest.raises(NotProvedYet):
            await prover.proof(endless, stamp, runs=True)
        prover.renew_patience(for_late=True)
        await prover.proof(sound, scan.stamp(sound), runs=True)
        assert prover.is_busy
        assert not late.is_set()
        await asyncio.wait_for(late.wait(), 60)
        with pytest.raises(PackageError, match="It was not proved within 8 s: running did not end"):
            await prover.proof(endless, stamp, runs=True)


async def test_all_that_begins_in_a_refresh_is_waited_for_until_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repository.prover.FIRST_PATIENCE_S", 1.0)
    folders = [endless_version(tmp_path, f"{n}.0") for n in range(2, 8)]
    started = time.monotonic()
    with proving(timeout_s=600) as prover:
        for folder in folders:
            with pytest.raises(NotProvedYet):
                await prover.proof(folder, scan.stamp(folder), runs=True)
        assert 1 <= time.monotonic() - started < 2
        prover.renew_patience(for_late=False)  # 10 s, but not for a model that has been waited for
        later = endless_version(tmp_path, "9.0")
        with pytest.raises(NotProvedYet):
            await prover.proof(later, scan.stamp(later), runs=True)
        assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    ("damage", "models"), [(ENDLESS, ["hostile"] * 9), (LARGE_AND_ENDLESS, [f"large-{n}" for n in range(6)])]
)
async def test_others_are_proved_beside_those_that_never_end(tmp_path: Path, damage: Damage, models: list[str]) -> None:
    for n, name in enumerate(models):
        write_hostile(tmp_path / "models", name, f"{n}.0", damage)
    sound = write_version(tmp_path / "models", "1.0", name="sound").folder
    with proving(timeout_s=600) as prover:
        for folder, stamp in scan.find_versions(tmp_path / "models").items():
            if folder != sound:
                prover.start(folder, stamp, runs=True)
        await asyncio.sleep(3)  # until each that needs much memory is known to
        prover.renew_patience(for_late=True)
        assert await prover.proof(sound, scan.stamp(sound), runs=True)


async def test_what_is_out_of_date_is_cancelled(tmp_path: Path) -> None:
    folders = [endless_version(tmp_path, f"{n}.0") for n in range(2, 8)]  # more than run at a time
    sound = write_version(tmp_path, "1.0").folder
    with proving(timeout_s=600) as prover:
        for folder in folders:
            prover.start(folder, scan.stamp(folder), runs=True)
        prover.forget({})
        proof = await prover.proof(sound, scan.stamp(sound), runs=True)
        assert proof.sha256


async def test_closing_waits_for_no_proof(tmp_path: Path) -> None:
    folder = endless_version(tmp_path, "2.0")
    with proving(timeout_s=600) as prover:
        prover.start(folder, scan.stamp(folder), runs=True)
        await asyncio.sleep(0.5)
        started = time.monotonic()
    assert time.monotonic() - started < 30


@pytest.mark.slow
async def test_a_network_that_ends_for_one_image_alone_is_found(tmp_path: Path) -> None:
    folder = write_version(tmp_path, "1.0").folder
    ENDLESS_FOR_MANY(folder)
    with proving(timeout_s=5) as prover:
        prover.start(folder, scan.stamp(folder), runs=True)
        with pytest.raises(PackageError, match="within 5 s: running batches did not end"):
            await prover.proof(folder, scan.stamp(folder), runs=True)
