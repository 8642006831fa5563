"""Model listing: every version of every model and its state."""

import pytest

from service.api.rollout import CanaryRollout, Rollout
from service.http.model_listing import list_models, model_entry, model_names, model_versions
from service.repository import rollouts
from service.repository.errors import UnknownModel
from service.repository.state import Repository
from tests import tiny
from tests.conftest import Client
from tests.service.repository.loaded_repository import load_repository
from tests.service.repository.versions import write_version

CANARY = CanaryRollout(version="2.0", percent=25)
# "blobs" serves too; "tissue" and the versions 4.0 and 0.9 of "brightness" are damaged.
ROLLOUTS = {
    "brightness": Rollout(pinned="1.0", canary=CANARY, shadow="3.0"),
    "resting": Rollout(unloaded=True),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    folder = tmp_path_factory.mktemp("listed")
    for number in ("1.0", "2.0", "3.0"):
        write_version(folder, number)
    for number in ("0.9", "0.10", "4.0"):
        damaged = write_version(folder, number, like="1.0")
        if number != "0.10":
            damaged.weights.write_bytes(b"")
    tiny.blobs(folder)
    tiny.blobs(folder, name="resting", version="7")
    tiny.tissue(folder).weights.write_bytes(b"")
    for name, rollout in ROLLOUTS.items():
        rollouts.change(folder, name, lambda _, rollout=rollout: rollout)
    return load_repository(folder)


def test_every_version_is_listed_with_its_role_newest_first(repository: Repository) -> None:
    listed = model_versions(repository, "brightness")
    assert [(each.version, each.state, each.role, each.percent) for each in listed] == [
        ("4.0", "invalid", None, 0),
        ("3.0", "ready", "shadow", 0),
        ("2.0", "ready", "canary", 25),
        ("1.0", "ready", "serves", 75),  # what the canary leaves
        ("0.10", "inactive", None, 0),
        ("0.9", "invalid", None, 0),
    ]
    assert [each.version for each in listed if each.comparison is not None] == ["3.0"]
    assert [each.version for each in listed if each.weights_bytes] == ["3.0", "2.0", "1.0"]
    assert [each.version for each in listed if each.sha256] == ["3.0", "2.0", "1.0", "0.10"]
    assert [each.version for each in listed if "has been changed" in each.reason] == ["4.0", "0.9"]


@pytest.mark.parametrize(
    ("name", "version", "status", "percent"),
    [
        ("blobs", "1.0", "ready", 100),
        ("brightness", "1.0", "ready", 0),  # the served version describes it; 4.0 comes first
        ("resting", "7", "unloaded", 0),
        ("tissue", "1.0", "invalid", 0),
    ],
)
def test_a_model_is_described_by_the_version_that_serves(
    repository: Repository, name: str, version: str, status: str, percent: float
) -> None:
    entry = model_entry(repository, name)
    assert (entry.name, entry.version, entry.status) == (name, version, status)
    assert entry.versions == model_versions(repository, name)
    assert entry.versions[0].percent == percent
    assert (entry.reason is not None) == (status == "invalid")


def test_the_list_has_what_serves_then_what_is_unloaded_then_what_is_invalid(repository: Repository) -> None:
    listed = list_models(repository).models
    assert [(each.name, each.version, each.status) for each in listed] == [
        ("blobs", "1.0", "ready"),
        ("brightness", "1.0", "ready"),
        ("resting", "7", "unloaded"),
        ("brightness", "4.0", "invalid"),
        ("brightness", "0.9", "invalid"),
        ("tissue", "1.0", "invalid"),
    ]


def test_names_are_of_every_folder_and_no_other(repository: Repository) -> None:
    assert model_names(repository) == ("blobs", "brightness", "resting", "tissue")
    assert model_names(Repository()) == ()
    assert list_models(Repository()).models == ()
    with pytest.raises(UnknownModel, match="nothing"):
        model_entry(repository, "nothing")


@pytest.mark.anyio
async def test_models_tell_what_a_caller_needs(serving: Client) -> None:
    async with serving() as http:
        models = (await http.get("/models")).json()["models"]
        one = (await http.get("/models/brightness")).json()
        unknown = await http.get("/models/nothing")
    assert [model["name"] for model in models] == ["blobs", "brightness", "tissue"]
    assert models[1] == one
    assert (one["status"], one["task"], one["provider"]) == ("ready", "classification", "CPUExecutionProvider")
    size = {"channels": 1, "height": 8, "width": 8, "smallest_image_px": 4, "pixel_size_um": None}
    assert one["input"] == {"kind": "image", "letters": "", **size}
    assert [known["label"] for known in one["classes"]] == ["dark", "bright", "neither"]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_model")
