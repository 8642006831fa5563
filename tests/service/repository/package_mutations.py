"""Random damage to a package: to its bytes, to the values of its description, to its files and folders."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.service.repository.hostile_packages import bound_socket, sealed

Mutation = Callable[[random.Random, Path], object]
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 3, 2**31, 2**40, 2**62, -(2**62), 10**30, 0.5, -1.5, float("nan"), float("inf"), 1e300, "",
    "x", "x" * 5000, "../x", "2020-99-99", "\0", "\ud7ff", "rdf.yaml",
    [], {}, [[]], [1, 2], [0, 0], {"a": 1}, ["x"] * 500,
)  # fmt: skip
NAMES = (
    "1.0 ",
    "-1",
    "1.0.0.0",
    "\uff11.\uff10",
    "v1",
    "0x1",
    "1" * 255,
    "1e5",
    "1\n0",
    "\udcff",
    "~",
    "1.0.",
    "%s",
    "{0}",
)


def bytes_of(chance: random.Random, data: bytes) -> bytes:
    """Changes, cuts, doubles or replaces some bytes."""
    at, size = chance.randrange(len(data) + 1), chance.choice((1, 2, 8, 300))
    match chance.randrange(6):
        case 0:
            return data[:at] + chance.randbytes(size) + data[at + size :]
        case 1:
            return data[:at]
        case 2:
            return data[:at] + data[at : at + size] * 40 + data[at:]
        case 3:
            return data[:at] + b"\xff" * 9 + b"\1" + data[at + 1 :]  # protobuf's longest number
        case 4:
            return chance.randbytes(chance.randrange(2000))
    return data[:at] + data[at + size :]


def change_a_file(chance: random.Random, folder: Path) -> None:
    path = chance.choice(sorted(folder.iterdir()))
    path.write_bytes(bytes_of(chance, path.read_bytes()))


def change_a_sealed_file(chance: random.Random, folder: Path) -> None:
    """Corrects the digest too, so that the content itself is looked at."""
    name = chance.choice([each.name for each in sorted(folder.iterdir()) if each.suffix in (".npy", ".onnx")])
    sealed(name, bytes_of(chance, (folder / name).read_bytes()))(folder)


def change_a_value(chance: random.Random, folder: Path) -> None:
    """Puts another value into the description, which stays YAML."""
    document = yaml.safe_load((folder / "rdf.yaml").read_text())
    for _ in range(chance.choice((1, 1, 1, 3))):
        parent = chance.choice(list(collections(document)))
        key = chance.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
        if chance.random() < 0.1:
            del parent[key]
        else:
            parent[key] = chance.choice(VALUES)
        if not document:
            break
    (folder / "rdf.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def collections(value: Any) -> Any:
    """Yields the lists and dicts in it that are not empty."""
    if isinstance(value, dict | list) and value:
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from collections(each)


def replace_a_file(chance: random.Random, folder: Path) -> None:
    path = chance.choice(sorted(folder.iterdir()))
    path.unlink()
    make: tuple[Callable[[Path], object], ...] = (
        lambda path: path.symlink_to(path.name),
        lambda path: path.symlink_to(chance.choice(("/dev/zero", "/proc/self/environ", "/", "..", "none"))),
        Path.mkdir,
        os.mkfifo,
        bound_socket,
        lambda path: os.link(min(folder.iterdir()), path),
        lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**41),
        lambda path: None,
    )  # fmt: skip
    try:
        chance.choice(make)(path)
    except OSError:  # a link over file systems, a sparse file that this one does not hold
        path.unlink(missing_ok=True)


def add_an_entry(chance: random.Random, folder: Path) -> None:
    path = folder / chance.choice((*NAMES, "extra", ".hidden"))
    if chance.random() < 0.5:
        path.symlink_to(chance.choice((path.name, "/", "..", "/proc", ".")))
    else:
        (path / "deep" / "deeper").mkdir(parents=True)


def rename_the_folder(chance: random.Random, folder: Path) -> None:
    folder.rename(folder.with_name(chance.choice(NAMES)))


def replace_the_folder(chance: random.Random, folder: Path) -> None:
    folder.rename(folder.with_name(".away"))
    make: tuple[Callable[[Path], object], ...] = (
        Path.mkdir,
        Path.touch,
        os.mkfifo,
        lambda path: path.symlink_to(path.name),
        lambda path: path.symlink_to(".away"),
        lambda path: path.symlink_to(".."),
        lambda path: path.symlink_to("/proc"),
    )
    chance.choice(make)(folder)


MUTATIONS: tuple[tuple[int, Mutation], ...] = (
    (6, change_a_value),
    (4, change_a_sealed_file),
    (3, change_a_file),
    (3, replace_a_file),
    (1, add_an_entry),
    (1, rename_the_folder),
    (1, replace_the_folder),
)


def mutate(seed: int, folder: Path) -> None:
    """Damages a package in a way that the seed determines."""
    chance = random.Random(seed)
    weights, mutations = zip(*MUTATIONS)
    (mutation,) = chance.choices(mutations, weights)
    mutation(chance, folder)
