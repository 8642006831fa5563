"""Packages that somebody made to harm: a sound one, with something else in the place of one of its files."""

import hashlib
import os
import socket
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.service.repository.versions import write_version

Damage = Callable[[Path], object]


def put(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def described_as(text: bytes) -> Damage:
    """Puts this in the place of the description's first line, which is format_version: ..."""

    def damage(folder: Path) -> None:
        rest = (folder / "rdf.yaml").read_bytes().partition(b"\n")[2]
        (folder / "rdf.yaml").write_bytes(text + b"\n" + rest)

    return damage


def sealed(name: str, content: bytes) -> Damage:
    """Replaces a file and its digest, so that only what opens it finds out."""

    def damage(folder: Path) -> None:
        old = hashlib.sha256((folder / name).read_bytes()).hexdigest().encode()
        (folder / name).write_bytes(content)
        text = (folder / "rdf.yaml").read_bytes()
        (folder / "rdf.yaml").write_bytes(text.replace(old, hashlib.sha256(content).hexdigest().encode()))

    return damage


def in_place_of(name: str, make: Callable[[Path], object]) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return damage


def link(name: str, target: str) -> Damage:
    return in_place_of(name, lambda path: path.symlink_to(target))


def fifo(name: str) -> Damage:
    return in_place_of(name, os.mkfifo)


def sparse(name: str, nbytes: int) -> Damage:
    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, nbytes)

    return in_place_of(name, make)


def bound_socket(path: Path) -> None:
    """A path of a socket may have 108 bytes, so it is made elsewhere in the same file system."""
    near = path.parents[2] / "s"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(near))
    near.rename(path)


def many_files(folder: Path) -> None:
    for n in range(1100):
        (folder / f"extra{n}").touch()


def with_tail(nodes: Sequence[onnx.NodeProto], constants: dict[str, np.ndarray]) -> Damage:
    """Has the network go on from its probabilities, now named "pair", to other ones."""

    def damage(folder: Path) -> None:
        model = onnx.load(folder / "model.onnx")
        last = next(node for node in model.graph.node if "probabilities" in node.output)
        last.output[0] = "pair"
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
        sealed("model.onnx", model.SerializeToString())(folder)

    return damage


def looping(rounds: Sequence[onnx.NodeProto] = (), **constants: np.ndarray) -> Damage:
    """Has the network go on with a loop. rounds: nodes that make the scalar "rounds" from "pair"; 2^57 without them."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["still"]), helper.make_node("Add", ["sum", "one"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N", 3]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["N", 3]),
        ],
    )
    loop = helper.make_node("Loop", ["rounds" if rounds else "huge", "true", "pair"], ["probabilities"], body=body)
    own = {"huge": np.array(2**57), "true": np.array(True), "one": np.ones((1, 3), np.float32)}
    return with_tail([*rounds, loop], constants | own)


def looping_for_bright() -> Damage:
    """A loop of 2^57 rounds for an image whose class has a probability of 0.92, of none for others."""
    nodes = [
        helper.make_node("ReduceMax", ["pair"], ["top"], keepdims=0),
        helper.make_node("Add", ["top", "rest"], ["sure"]),
        helper.make_node("Floor", ["sure"], ["floor"]),
        helper.make_node("Cast", ["floor"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mul", ["whole", "huge"], ["rounds"]),
    ]
    return looping(nodes, rest=np.array(0.08, np.float32))


def endless(*, for_images: int = 1, side: int = 1536) -> Damage:
    """Products of matrices that take minutes for so many images, and next to nothing for fewer."""
    names = [f"product{n}" for n in range(500)]
    nodes = [
        helper.make_node("Shape", ["pair"], ["images"], end=1),
        helper.make_node("Div", ["images", "least"], ["many"]),
        helper.make_node("Mul", ["many", "rest"], ["more"]),
        helper.make_node("Add", ["more", "first"], ["rows"]),
        helper.make_node("Concat", ["rows", "rows"], ["size"], axis=0),
        helper.make_node("ReduceMax", ["pair"], ["top"], keepdims=0),
        helper.make_node("Mul", ["top", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "mean"], ["value"]),
        helper.make_node("Expand", ["value", "size"], ["matrix"]),
        helper.make_node("Identity", ["matrix"], names[:1]),
        *(helper.make_node("MatMul", [before, "matrix"], [after]) for before, after in pairwise(names)),
        helper.make_node("ReduceMax", names[-1:], ["end"], keepdims=0),
        helper.make_node("Mul", ["end", "nothing"], ["tail"]),
        helper.make_node("Add", ["pair", "tail"], ["probabilities"]),
    ]
    constants = {
        "least": np.array([for_images]), "rest": np.array([side - 1]), "first": np.array([1]),
        "nothing": np.array(0, np.float32), "mean": np.array(1 / side, np.float32),
    }  # fmt: skip
    return with_tail(nodes, constants)


def vast() -> Damage:
    """A tensor of 6 TB, for a moment."""
    nodes = [
        helper.make_node("Expand", ["pair", "shape"], ["vast"]),
        helper.make_node("ReduceMax", ["vast"], ["probabilities"], axes=[0], keepdims=0),
    ]
    return with_tail(nodes, {"shape": np.array([2**39, 1, 3])})


def bomb() -> bytes:
    """10^9 strings in 800 bytes."""
    rows = [b"a0: &a0 x"] + [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 10)]
    return b"\n".join([*rows, b"name: *a9"])


ENDLESS, ENDLESS_FOR_MANY, LOOPING_FOR_BRIGHT = endless(), endless(for_images=8), looping_for_bright()
LARGE_AND_ENDLESS = endless(side=5500)  # 120 MB each matrix
# What is done to a package, and what the reason of its refusal says; None where it may serve.
CASES: dict[str, tuple[Damage, str | None]] = {
    **{
        f"description: {text.decode()}": (described_as(b"a: " + text), None)
        for text in (b"2020-99-99", b"0x_", b"0b_", b"99:00:00", b"+99:99", b"9" * 10_000, b"1" + b":10" * 200_000)
    },
    "description: a tag": (described_as(b"a: !!int x"), "has the tag"),
    "description: a tag of Python": (described_as(b"a: !!python/name:os.system"), "has the tag"),
    "description: nested 20,000 deep": (described_as(b"a: " + b"[" * 20_000), "more than 64 levels"),
    "description: aliases that multiply": (described_as(bomb()), "too many values"),
    "description: an alias of itself": (described_as(b"a: &a [*a]"), "of nothing before it"),
    "description: of 20 MB": (described_as(b"#" * 20_000_000), "at most 1,048,576"),
    "description: a link": (link("rdf.yaml", "/etc/hostname"), "is a link"),
    "description: a FIFO": (fifo("rdf.yaml"), "is a FIFO"),
    "description: a folder": (in_place_of("rdf.yaml", Path.mkdir), "is a folder"),
    "description: a socket": (in_place_of("rdf.yaml", bound_socket), "is a socket"),
    "network: a FIFO": (fifo("model.onnx"), "is a FIFO"),
    "network: a link to /dev/zero": (link("model.onnx", "/dev/zero"), "is a link"),
    "network: 4 TB of nothing": (sparse("model.onnx", 2**42), "at most 2,147,483,648"),
    "network: wants 6 TB": (vast(), "MiB of memory to be proved"),
    "network: a loop": (looping(), "has the operator 'Loop'"),
    "network: no bytes": (sealed("model.onnx", b""), "cannot load the network"),
    "tensor: an expression": (
        sealed("test_input.npy", b"\x93NUMPY\1\0" + (4000).to_bytes(2, "little") + b"-" * 4000),
        "is not a .npy array",
    ),
    "tensor: a FIFO": (fifo("test_input.npy"), "is a FIFO"),
    "readme: a link": (link("README.md", "/proc/self/environ"), "is a link"),
    "folder: too many files": (many_files, "more than 1,000 files"),
    "folder: a link to itself": (lambda folder: (folder / "extra").symlink_to("extra"), None),
    "folder: a link to everything": (lambda folder: (folder / "extra").symlink_to("/"), None),
    "folder: a name that is no text": (put(os.fsdecode(b"\xff\n"), b""), None),
}


def write_hostile(root: Path, name: str, number: str, damage: Damage) -> None:
    """Writes a version that answers as 1.0 does, damages it, and moves it into the repository in one step."""
    folder = write_version(root.parent / "workshop", number, like="1.0", name=name).folder
    damage(folder)
    (root / name).mkdir(parents=True, exist_ok=True)
    folder.rename(root / name / number)
