"""Packages that change, end early or hold anything at all: only verified bytes are loaded, and no network ends us."""

import errno
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.external_data_helper import set_external_data

from models.errors import PackageError
from models.package import Package, read
from service.inference import InferenceFailed, Session, open_session
from service.repository.verifier import verify
from tests import tiny
from tests.conftest import Client
from tests.service.repository.versions import wait_for_version, write_version

ROOT = Path(__file__).parents[3]


def opened(package: Package) -> Session:
    return open_session(package.network(), device="cpu")


def other_network(package: Package) -> None:
    """Its outputs are the same, so that its digest alone tells."""
    package.weights.write_bytes(package.weights.read_bytes() + b"\x32\x01x")  # onnx.ModelProto.doc_string = "x"


def other_output(package: Package) -> None:
    file = package.folder / package.spec.output("probabilities").test_tensor.source
    np.save(file, np.load(file) + np.float32(1e-7))


CHANGES = {"model.onnx": other_network, "test_probabilities.npy": other_output}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_after_it_was_verified_is_not_loaded(tmp_path: Path, name: str) -> None:
    tiny.brightness(tmp_path)
    package = read(tmp_path / "brightness/1.0")
    verify(package, open_session=opened)
    CHANGES[name](package)
    with pytest.raises(PackageError, match=f"{name} has been changed"):
        verify(package, open_session=opened)


def test_weights_in_a_file_apart_are_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """rdf.yaml has no digest of them, and ONNX Runtime would take them from the folder in which the service runs."""
    monkeypatch.chdir(tmp_path)
    network = onnx.load_from_string(tiny.blobs(tmp_path).network())
    weight = next(each for each in network.graph.initializer if each.name == "weight")
    (tmp_path / "apart").write_bytes(weight.raw_data)
    set_external_data(weight, "apart", 0, len(weight.raw_data))
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    with pytest.raises(InferenceFailed, match="External data path"):
        open_session(network.SerializeToString(), device="cpu")


@pytest.mark.anyio
@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
async def test_what_the_machine_lacked_for_is_tried_again(serving: Client, tmp_path: Path, error: Exception) -> None:
    write_version(tmp_path, "1.0")
    lacking = [error]

    def open_or_fail(package: Package) -> Session:
        if package.spec.version == "2.0" and lacking:
            raise lacking.pop()
        return opened(package)

    async with serving(open_or_fail, models=tmp_path, rescan_s=0.2) as http:
        write_version(tmp_path, "2.0")
        await wait_for_version(http, "2.0")
    assert not lacking


def flipped(chance: random.Random, data: bytearray) -> bytearray:
    for _ in range(chance.choice((1, 1, 2, 5))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return data


def cut(chance: random.Random, data: bytearray) -> bytearray:
    return data[: chance.randrange(len(data))]


def doubled(chance: random.Random, data: bytearray) -> bytearray:
    at = chance.randrange(len(data))
    return data[:at] + data[at : at + 30] + data[at:]


def longest(chance: random.Random, data: bytearray) -> bytearray:
    """A number of ten bytes, the longest that protobuf reads, where another was."""
    at = chance.randrange(len(data))
    return data[:at] + b"\xff" * 9 + b"\x01" + data[at + 1 :]


MUTATIONS: tuple[Callable[[random.Random, bytearray], bytearray], ...] = (flipped, cut, doubled, longest)


def outcome(package: Package, network: bytes) -> str:
    """What becomes of a network in place of the package's own; one that is proved gives the package's outputs."""
    kept: list[Session] = []

    def keep(_: Package) -> Session:
        kept.append(open_session(network, device="cpu"))
        return kept[-1]

    try:
        verify(package, open_session=keep)
    except (PackageError, InferenceFailed) as error:
        return type(error).__name__
    test_input, outputs = package.test_tensors()
    again = kept[0].run(test_input / np.float32(255), tuple(outputs))
    for name, wanted in outputs.items():
        np.testing.assert_allclose(again[name], wanted, atol=1e-4)
    return "proved"


def load_mutations(folder: Path, *, count: int) -> None:
    package, chance = tiny.brightness(folder), random.Random(4)
    for _ in range(count):
        sys.stdout.write(outcome(package, bytes(chance.choice(MUTATIONS)(chance, bytearray(package.network())))) + "\n")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_200_damaged_networks_end_no_process_and_are_refused_or_proved(tmp_path: Path) -> None:
    """In a process of their own, which ONNX Runtime's parser would take down if it could be."""
    code = f"import pathlib, {__name__} as here; here.load_mutations(pathlib.Path({str(tmp_path)!r}), count=200)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=800)
    assert ended.returncode == 0, ended.stderr
    outcomes = ended.stdout.split()
    assert len(outcomes) == 200
    assert set(outcomes) <= {"proved", "PackageError", "InferenceFailed"}
    assert outcomes.count("InferenceFailed") > 100
