"""Settings: closed, bounded, and each of them documented."""

import os
import re
from pathlib import Path

import pytest

from service.settings import PREFIX, BadSettings, Settings, check_models_folder, load_settings

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


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
        ("striate_portt", "1", "striate_portt is no setting"),
        ("STRIATE_DEVICE", "gpu", "STRIATE_DEVICE=gpu: Input should be 'auto', 'cpu' or 'cuda'"),
        ("STRIATE_QUEUE_LENGTH", "0", "STRIATE_QUEUE_LENGTH=0: Input should be greater than or equal to 1"),
        ("STRIATE_TIMEOUT_S", "soon", "STRIATE_TIMEOUT_S=soon"),
        ("STRIATE_MAX_PIXELS", "-1", "STRIATE_MAX_PIXELS=-1"),
    ],
)
def test_a_wrong_variable_dies_with_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadSettings, match=re.escape(says)):
        load_settings()


def test_a_folder_that_is_not_there_dies_with_its_name() -> None:
    with pytest.raises(BadSettings, match="STRIATE_MODELS=/nowhere/at/all"):
        check_models_folder(Settings(models=Path("/nowhere/at/all")))


def test_wanted_models_are_a_list_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_WANTED", "nuclei, digits,")
    assert load_settings().wanted == ("nuclei", "digits")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().device = "cpu"  # type: ignore[misc]


def test_docs_have_every_setting_with_its_default_and_sentence() -> None:
    rows = re.findall(r"^\| `(STRIATE_\w+)` \| (.*?) \| (.*?) \|$", DOCS.read_text(), re.MULTILINE)
    documented = {name: (default, sentence) for name, default, sentence in rows}
    assert list(documented) == [PREFIX + name.upper() for name in Settings.model_fields]
    for name, field in Settings.model_fields.items():
        default, sentence = documented[PREFIX + name.upper()]
        assert sentence == field.description
        if not name.endswith("_threads"):  # those follow the machine's processors
            value = ",".join(field.default) if isinstance(field.default, tuple) else field.default
            assert default == (f"`{value}`" if value != "" else "(empty)")
