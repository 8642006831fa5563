"""Tests of the messages: they are decoded correctly, however the stream is split."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.messages import Outcome, Reply, RunRequest, output_mask, output_names, replies, run_requests

U64, U32 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
SECONDS = st.floats(allow_nan=False)
SHAPE = st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=4).map(tuple)

RUN_REQUESTS = st.builds(
    RunRequest, U64, st.booleans(), st.integers(0, 2**16 - 1), st.integers(0, 3), st.integers(0, 1), st.booleans(),
    U64, U64, U32, U32, U32, SECONDS, SECONDS,
)  # fmt: skip
REPLIES = st.builds(
    Reply, U64, st.sampled_from(Outcome), U32, st.integers(0, 6), U32, SECONDS, SECONDS,
    st.lists(SHAPE, max_size=2).map(tuple),
)  # fmt: skip


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


@given(st.lists(RUN_REQUESTS, max_size=5), st.lists(st.integers(0, 10_000), max_size=8))
def test_run_requests_arrive_complete_and_in_order(sent: list[RunRequest], cuts: list[int]) -> None:
    decoder = run_requests()
    stream = b"".join(request.pack() for request in sent)
    assert [request for piece in pieces(stream, cuts) for request in decoder.feed(piece)] == sent


@given(st.lists(REPLIES, max_size=5), st.lists(st.integers(0, 10_000), max_size=8))
def test_replies_arrive_complete_and_in_order(sent: list[Reply], cuts: list[int]) -> None:
    decoder = replies()
    stream = b"".join(reply.pack() for reply in sent)
    assert [reply for piece in pieces(stream, cuts) for reply in decoder.feed(piece)] == sent


@pytest.mark.parametrize(
    ("requested", "mask", "decoded"),
    [
        (["probabilities"], 1, ("probabilities",)),
        (["cam"], 2, ("cam",)),
        (["cam", "probabilities"], 3, ("probabilities", "cam")),  # in the order of the description
    ],
)
def test_requested_outputs_are_encoded_as_bits(requested: list[str], mask: int, decoded: tuple[str, ...]) -> None:
    all_names = ("probabilities", "cam")
    assert output_mask(all_names, requested) == mask
    assert output_names(all_names, mask) == decoded
