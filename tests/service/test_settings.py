"""Settings: closed, bounded, and each of them documented."""

import os
import re
from pathlib import Path

import pytest

from docs import configuration
from service.settings import PREFIX, InvalidSettings, Settings, check_models_folder, load_settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_every_setting_has_a_default_and_a_sentence() -> None:
    load_settings()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("STRIATE_DEVCE", "cuda", "STRIATE_DEVICE"),  # a typo names what is allowed
        ("striate_portt", "1", "striate_portt is not a setting"),
        ("STRIATE_DEVICE", "gpu", "STRIATE_DEVICE=gpu: Input should be 'auto', 'cpu' or 'cuda'"),
        ("STRIATE_QUEUE_LENGTH", "0", "STRIATE_QUEUE_LENGTH=0: Input should be greater than or equal to 1"),
        ("STRIATE_TIMEOUT_S", "soon", "STRIATE_TIMEOUT_S=soon"),
        ("STRIATE_MAX_PIXELS", "-1", "STRIATE_MAX_PIXELS=-1"),
        ("STRIATE_BATCH_SIZES", "2,4", "batch sizes must start at 1"),
        ("STRIATE_BATCH_SIZES", "1,4,4", "ascend"),
        ("STRIATE_BATCH_SIZES", "1,many", "STRIATE_BATCH_SIZES=many"),
        ("STRIATE_GPU_ENGINE", "tensorrt", "it needs STRIATE_DEVICE=cuda"),  # the device is "auto" by default
    ],
)
def test_a_wrong_variable_dies_with_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettings, match=re.escape(says)):
        load_settings()


def test_a_folder_that_is_not_there_dies_with_its_name() -> None:
    with pytest.raises(InvalidSettings, match="STRIATE_MODELS=/nowhere/at/all"):
        check_models_folder(Settings(models=Path("/nowhere/at/all")))


def test_wanted_models_are_a_list_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_WANTED", "nuclei, digits,")
    assert load_settings().wanted == ("nuclei", "digits")


def test_an_engine_goes_with_the_promised_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_DEVICE", "cuda")
    monkeypatch.setenv("STRIATE_GPU_ENGINE", "cuda_graphs")
    monkeypatch.setenv("STRIATE_BATCH_SIZES", "1, 4,16")
    settings = load_settings()
    assert (settings.gpu_engine, settings.batch_sizes) == ("cuda_graphs", (1, 4, 16))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().device = "cpu"  # type: ignore[misc]


def test_the_reference_is_what_the_settings_say() -> None:
    assert configuration.PAGE.read_text() == configuration.page(configuration.PAGE.read_text()), "run `make reference`"


def test_compose_hands_every_setting_on() -> None:
    text = configuration.COMPOSE.read_text()
    assert text == configuration.compose(text), "run `make reference`"
    assert configuration.compose(text.replace("      STRIATE_AUDIT:\n", "")) == text


@pytest.mark.parametrize(
    ("variable", "row"),
    [
        ("STRIATE_DEVICE", "`auto` | `auto`, `cpu`, `cuda` | Where networks run"),
        ("STRIATE_BATCH_SIZES", "`1,2,4,8,16,32` | - | Comma-separated"),
        ("STRIATE_TIMEOUT_S", "`30.0` | > 0, ≤ 3600 | Seconds that a request may take"),
        ("STRIATE_SESSION_THREADS", "processors, at most 8 | ≥ 1, ≤ 256 | CPU threads"),
        ("STRIATE_KEYS", "(empty) | - | File of API keys"),
    ],
)
def test_a_row_has_the_default_what_is_allowed_and_the_sentence(variable: str, row: str) -> None:
    assert f"\n| `{variable}` | {row}" in configuration.table()


def test_the_reference_has_every_setting() -> None:
    rows = re.findall(r"^\| `(STRIATE_\w+)` \|", configuration.PAGE.read_text(), re.MULTILINE)
    assert rows == [PREFIX + name.upper() for name in Settings.model_fields]


def test_a_page_without_a_place_for_the_table_says_so() -> None:
    with pytest.raises(ValueError, match=r"configuration.md has no lines"):
        configuration.page("# Configuration\n")
