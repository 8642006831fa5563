"""Every side really starts, answers, and gives the same classes."""

from collections.abc import Iterator

import pytest

from benchmarks import images, networks
from benchmarks.client import answer, multipart, raw
from benchmarks.contenders import BARE, CONTENDERS, SERVICE, TOLERANCE, check_alike, started
from benchmarks.load import closed
from benchmarks.networks import Network
from benchmarks.processes import Server


@pytest.fixture(scope="module")
def trivial(tmp_path_factory: pytest.TempPathFactory) -> Network:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "CACHE", tmp_path_factory.mktemp("networks"))
        return networks.network("trivial")


@pytest.fixture(scope="module")
def ours(trivial: Network) -> Iterator[Server]:
    with started(CONTENDERS[SERVICE], trivial) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CONTENDERS if name != SERVICE])
def test_a_side_answers_as_the_service_does(name: str, ours: Server, trivial: Network) -> None:
    for package in ("fastapi", "litserve"):
        pytest.importorskip(package, reason="the extra 'benchmark' is not installed")
    with started(CONTENDERS[name], trivial) as theirs:
        for picture in (images.speck(), images.xray()):
            check_alike({SERVICE: ours, name: theirs}, picture)


@pytest.mark.slow
def test_pictures_are_told_apart(ours: Server) -> None:
    with ours.awake():
        speck, xray = (answer(CONTENDERS[SERVICE].target(ours, picture)) for picture in (images.speck(), images.xray()))
    assert abs(speck["classes"][0]["probability"] - xray["classes"][0]["probability"]) > TOLERANCE


def test_the_bare_application_takes_either_body_and_can_be_paused(trivial: Network) -> None:
    speck = images.speck()
    with started(BARE, trivial) as server:
        with server.awake():
            for target in (
                raw(server.port, "/predict", speck.data, kind=speck.kind),
                multipart(server.port, "/predict", speck.data, field="image", kind=speck.kind),
            ):
                assert len(answer(target)["classes"]) == 3
                assert closed(target, callers=2, seconds=0, at_least=50).errors == 0
        assert server.memory_bytes() > 10e6
        with server.awake():
            assert len(answer(target)["classes"]) == 3


def test_a_networks_tensor_is_what_the_service_prepares(trivial: Network) -> None:
    x = trivial.tensor(images.speck())
    assert x.shape == (1, 1, 8, 8)
    assert -1 <= x.min() < x.max() <= 1
