"""Messages arrive as they were sent, however the stream is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.messages import Ask, Outcome, Reply, asks, bits, names, replies

U64, U32 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
SECONDS = st.floats(allow_nan=False)
SHAPE = st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=4).map(tuple)

ASKS = st.builds(
    Ask, U64, st.booleans(), st.integers(0, 2**16 - 1), st.integers(0, 3), st.integers(0, 1), st.booleans(),
    U64, U64, U32, U32, U32, SECONDS, SECONDS,
)  # fmt: skip
REPLIES = st.builds(
    Reply, U64, st.sampled_from(Outcome), U32, st.integers(0, 6), U32, SECONDS, SECONDS,
    st.lists(SHAPE, max_size=2).map(tuple),
)  # fmt: skip


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


@given(st.lists(ASKS, max_size=5), st.lists(st.integers(0, 10_000), max_size=8))
def test_asks_arrive_whole_and_in_order(sent: list[Ask], cuts: list[int]) -> None:
    received = asks()
    stream = b"".join(ask.packed() for ask in sent)
    assert [ask for piece in pieces(stream, cuts) for ask in received.feed(piece)] == sent


@given(st.lists(REPLIES, max_size=5), st.lists(st.integers(0, 10_000), max_size=8))
def test_replies_arrive_whole_and_in_order(sent: list[Reply], cuts: list[int]) -> None:
    received = replies()
    stream = b"".join(reply.packed() for reply in sent)
    assert [reply for piece in pieces(stream, cuts) for reply in received.feed(piece)] == sent


@pytest.mark.parametrize(
    ("chosen", "outputs", "back"),
    [
        (["probabilities"], 1, ("probabilities",)),
        (["cam"], 2, ("cam",)),
        (["cam", "probabilities"], 3, ("probabilities", "cam")),  # in the order of the description
    ],
)
def test_outputs_cross_as_bits(chosen: list[str], outputs: int, back: tuple[str, ...]) -> None:
    every = ("probabilities", "cam")
    assert bits(every, chosen) == outputs
    assert names(every, outputs) == back
