"""ONNX files: a stranger's nodes and constants, read without the weights, in bounded time and memory.

The `onnx` package parses a file whole, weights included; what serves does not have it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from models.errors import PackageError

MAX_FIELDS = 2**19  # of a file; a network of 1,000 layers has some 50,000
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5  # protobuf's wire types
_FIXED = {_FIXED_64: 8, _FIXED_32: 4}
_MAX_VARINT_BYTES = 10


@dataclass(slots=True)
class Tensor:
    """A constant. type: the number of its element type, TensorProto.DataType. data: its raw_data."""

    name: str = ""
    type: int = 0
    data: memoryview = field(default_factory=lambda: memoryview(b""))


@dataclass(slots=True)
class Attribute:
    """A node's parameter; has_graph: whether it is a graph or several."""

    name: str = ""
    integer: int = 0
    tensor: Tensor | None = None
    has_graph: bool = False


@dataclass(slots=True)
class Node:
    """An operator. inputs, outputs: names of tensors; "" is one that is left out."""

    operator: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: list[Attribute] = field(default_factory=list)

    def attribute(self, name: str) -> Attribute | None:
        return next((each for each in self.attributes if each.name == name), None)


@dataclass(slots=True)
class Graph:
    """inputs: names; those that are constants too can be left out by who runs the network."""

    nodes: list[Node] = field(default_factory=list)
    constants: list[Tensor] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    has_functions: bool = False


def read_graph(network: bytes) -> Graph:
    """Reads the graph of an ONNX file. Raises PackageError."""
    graph, reader = Graph(), _MessageReader()
    try:
        for number, value in reader.fields(memoryview(network)):
            if number == 7:  # protobuf joins a message that comes in parts, and so do these functions
                reader.graph(_message(value), graph)
            elif number == 25:
                graph.has_functions = True
    except (IndexError, TypeError, UnicodeDecodeError) as error:
        raise PackageError("The network is no valid ONNX file.") from error
    return graph


Value = int | memoryview


class _MessageReader:
    """Reads messages, up to MAX_FIELDS fields in all. Its numbers are those of onnx.proto."""

    def __init__(self) -> None:
        self._count = 0

    def graph(self, message: memoryview, into: Graph) -> None:
        for number, value in self.fields(message):
            if number == 1:
                into.nodes.append(self._node(_message(value)))
            elif number == 5:
                into.constants.append(self._tensor(_message(value), Tensor()))
            elif number == 11:
                into.inputs.extend(_text(each) for part, each in self.fields(_message(value)) if part == 1)

    def _node(self, message: memoryview) -> Node:
        node = Node()
        for number, value in self.fields(message):
            if number == 1:
                node.inputs.append(_text(value))
            elif number == 2:
                node.outputs.append(_text(value))
            elif number == 4:
                node.operator = _text(value)
            elif number == 5:
                node.attributes.append(self._attribute(_message(value)))
            elif number == 7:
                node.domain = _text(value)
        return node

    def _attribute(self, message: memoryview) -> Attribute:
        attribute = Attribute()
        for number, value in self.fields(message):
            if number == 1:
                attribute.name = _text(value)
            elif number == 3:
                attribute.integer = _integer(value)
            elif number == 5:
                attribute.tensor = self._tensor(_message(value), attribute.tensor or Tensor())
            elif number in (6, 11):
                attribute.has_graph = True
        return attribute

    def _tensor(self, message: memoryview, into: Tensor) -> Tensor:
        for number, value in self.fields(message):
            if number == 2:
                into.type = _integer(value)
            elif number == 8:
                into.name = _text(value)
            elif number == 9:
                into.data = _message(value)
        return into

    def fields(self, message: memoryview) -> Iterator[tuple[int, Value]]:
        """Yields the number and value of each field, but for numbers of a fixed length.

        Raises PackageError for too many in all, IndexError where the message ends within one.
        """
        at = 0
        while at < len(message):
            self._count += 1
            if self._count > MAX_FIELDS:
                raise PackageError(f"The network's graph has more than {MAX_FIELDS:,} fields.")
            key, at = _varint(message, at)
            number, kind = key >> 3, key & 7
            if kind == _VARINT:
                value, at = _varint(message, at)
                yield number, value
                continue
            length = _FIXED.get(kind)
            if kind == _BYTES:
                length, at = _varint(message, at)
            if length is None or at + length > len(message):
                raise IndexError
            if kind == _BYTES:
                yield number, message[at : at + length]
            at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Returns the number at this place, and the place after it."""
    value = 0
    for n in range(_MAX_VARINT_BYTES):
        byte = message[at + n]
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            return value, at + n + 1
    raise IndexError


def _message(value: Value) -> memoryview:
    if isinstance(value, int):
        raise TypeError
    return value


def _text(value: Value) -> str:
    return str(_message(value), "utf-8")


def _integer(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError
    return value - 2**64 if value >= 2**63 else value
