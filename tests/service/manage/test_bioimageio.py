"""BioImage.IO descriptions of other tools: their fields as Striate needs them, and refusals with a reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from models import package
from models.errors import PackageError
from service.manage.bioimageio import ForeignDescription, parse
from tests.service.manage import foreign
from tests.service.manage.import_command import is_empty, run_import


@pytest.mark.parametrize("form", ["0.4.10", "0.5.3"])
@pytest.mark.parametrize("pack", [Path, foreign.zipped], ids=["folder", "zip"])
def test_both_formats_are_read_from_folders_and_zips(models: Path, tmp_path: Path, form: str, pack: Any) -> None:
    source = pack(foreign.bioimageio(tmp_path / "source", form=form))
    assert run_import(source, "--classes", "nucleus") == 0
    spec = package.read(next(models.glob("foreign-nuclei/*"))).spec
    assert spec.version == ("0.3.0" if form == "0.5.3" else "1.0")
    assert (spec.task, spec.activation, spec.input.channels) == ("segmentation", "sigmoid", 1)
    assert spec.input.size == (None if form == "0.4.10" else (32, 32))
    assert spec.halo == (4 if form == "0.4.10" else 0)
    assert [step.id for step in spec.input.steps] == ["ensure_dtype", "zero_mean_unit_variance"]
    assert spec.cite == (("Nobody 2026", "10.1234/5678"),)


INVALID_PACKAGES: dict[str, tuple[dict[str, Any], str]] = {
    "a URL": ({"weights": {"onnx": {"source": "https://example.com/w.onnx"}}}, "URLs and other folders are not read"),
    "another folder": ({"weights": {"onnx": {"source": "../w.onnx"}}}, "other folders are not read"),
    "an absolute path": ({"weights": {"onnx": {"source": "/etc/passwd"}}}, "other folders are not read"),
    "code": (
        {"weights": {"pytorch_state_dict": {"source": "w.pt", "architecture": "unet.py"}}},
        "ONNX weights are required",
    ),
    "a pickle": ({"weights": {"torchscript": {"source": "w.pt"}}}, "ONNX weights are required"),
    "changed bytes": ({"weights": {"onnx": {"source": "weights.onnx", "sha256": "0" * 64}}}, "has been changed"),
    "another format": ({"format_version": "0.3.1"}, "format '0.3.1'"),
    "no description of it": ({"inputs": "x"}, "is not a BioImage.IO model"),
    "weights elsewhere": ({"network_file": foreign.external_weights()}, "in external files"),
    "foreign operations": ({"network_file": foreign.custom_operation()}, "com.example"),
}


@pytest.mark.parametrize("case", INVALID_PACKAGES)
def test_untrusted_packages_are_rejected(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    changes, reason = INVALID_PACKAGES[case]
    source = foreign.bioimageio(tmp_path / "source", form="0.4.10", **changes)
    assert run_import(source, "--classes", "nucleus") == 1
    assert reason in capsys.readouterr().err
    assert is_empty(models)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"- 1", "a value in it has another form than expected"),
        (b"format_version: 0.5.3\ninputs: [1]\noutputs: [1]", "a value in it has another form than expected"),
        (b"name: x", "'format_version' is missing or unknown"),
    ],
)
def test_what_is_no_description_says_so_in_words(text: bytes, reason: str) -> None:
    with pytest.raises(PackageError, match=reason) as refused:
        parse(text)
    assert "Error(" not in str(refused.value)


def description(folder: Path, *, form: str = "0.5.3", **changes: Any) -> dict[str, Any]:
    source = foreign.bioimageio(folder / "source", form=form, **changes)
    document: dict[str, Any] = yaml.safe_load((source / "rdf.yaml").read_text())
    return document


def parsed(document: dict[str, Any]) -> ForeignDescription:
    return parse(yaml.safe_dump(document).encode())


@pytest.mark.parametrize("form", ["0.4.10", "0.5.3"])
def test_both_formats_name_their_files_and_facts(tmp_path: Path, form: str) -> None:
    found = parsed(description(tmp_path, form=form))
    assert (found.weights, found.test_input, found.test_output) == ("weights.onnx", "in.npy", "out.npy")
    assert set(found.digests) == ({"weights.onnx"} if form == "0.4.10" else {"weights.onnx", "in.npy", "out.npy"})
    assert (found.version, found.size) == ((None, None) if form == "0.4.10" else ("0.3.0", (32, 32)))
    assert found.labels == (() if form == "0.4.10" else ("nucleus",))
    assert (found.name, found.activation, found.tolerance) == ("Foreign Nuclei", "sigmoid", 1e-4)


FACTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({"license": None, "authors": [], "cite": []}, {"license": "unknown", "authors": ("unknown",), "cite": ()}),
    "a slash in a name": ({"authors": [{"name": "A/B\\C"}]}, {"authors": ("A B C",)}),
    "no DOI": ({"cite": [{"text": "Book"}, {"text": " Paper ", "doi": "10.1/2"}]}, {"cite": (("Paper", "10.1/2"),)}),
    "a long text": ({"description": "x" * 2000}, {"description": "x" * 1024}),
}


@pytest.mark.parametrize("case", FACTS)
def test_facts_are_brought_into_the_form_of_our_description(tmp_path: Path, case: str) -> None:
    changes, wanted = FACTS[case]
    found = parsed(description(tmp_path, **changes)).facts
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("config", "tolerance"),
    [
        ({}, 1e-4),
        ({"bioimageio": {"reproducibility_tolerance": [{"relative_tolerance": 1e-3}]}}, 1e-4),
        ({"bioimageio": {"reproducibility_tolerance": [{"absolute_tolerance": 0.01}]}}, 0.01),
    ],
)
def test_the_tolerance_is_the_stated_one(tmp_path: Path, config: dict[str, Any], tolerance: float) -> None:
    assert parsed(description(tmp_path, config=config)).tolerance == tolerance


Z = "zero_mean_unit_variance"
FIXED = {"gain": 0.5, "offset": -1.5}  # (x - 3) / 2
PREPROCESSING: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (Z, {}, {"id": Z, "axes": ("channel", "y", "x")}),
    (Z, {"axes": ["batch", "x", "y"]}, {"id": Z, "axes": ("y", "x")}),
    (Z, {"mode": "fixed", "mean": 3, "std": [2]}, {"id": "scale_linear", **FIXED}),
    (f"fixed_{Z}", {"mean": [3], "std": 2}, {"id": "scale_linear", **FIXED}),
    ("scale_linear", {"gain": [4]}, {"id": "scale_linear", "gain": 4, "offset": 0}),
    (
        "scale_range",
        {"mode": "per_sample", "axes": "xy", "min_percentile": 5},
        {"axes": ("y", "x"), "min_percentile": 5},
    ),
    ("clip", {"min": 0, "max": 1}, {"id": "clip", "min": 0, "max": 1}),
]


@pytest.mark.parametrize(("name", "options", "step"), PREPROCESSING)
def test_an_operation_becomes_a_step(tmp_path: Path, name: str, options: dict[str, Any], step: dict[str, Any]) -> None:
    document = description(tmp_path)
    document["inputs"][0]["preprocessing"] = [{"id": name, "kwargs": options}]
    first, found = parsed(document).steps
    assert first.id == "ensure_dtype"
    assert found.model_dump().items() >= step.items()


def change_axes(document: dict[str, Any]) -> None:
    document["inputs"][0]["axes"].reverse()


UNSUPPORTED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "two inputs": (lambda d: d["inputs"].append(d["inputs"][0]), "2 inputs; only one"),
    "no output": (lambda d: d.update(outputs=[]), "0 outputs; only one"),
    "channels last": (change_axes, "batch, channel, y, x are supported"),
    "a data set's mean": (lambda d: preprocess(d, Z, mode="per_dataset"), "has mode per_dataset"),
    "another tensor": (lambda d: preprocess(d, "scale_range", reference_tensor="raw"), "needs another tensor"),
    "a mean per channel": (lambda d: preprocess(d, Z, mode="fixed", mean=[1, 2, 3], std=1), "one number for all"),
    "an unknown step": (lambda d: preprocess(d, "binarize", threshold=1), "preprocessing .* is not supported"),
    "a threshold after it": (lambda d: postprocess(d, "binarize"), "one sigmoid or softmax is supported"),
    "two after it": (lambda d: postprocess(d, "sigmoid", "softmax"), "one sigmoid or softmax is supported"),
    "no sizes": (lambda d: d["inputs"][0].pop("axes"), "is not a BioImage.IO model description"),
}


def preprocess(document: dict[str, Any], name: str, **options: Any) -> None:
    document["inputs"][0]["preprocessing"] = [{"id": name, "kwargs": options}]


def postprocess(document: dict[str, Any], *names: str) -> None:
    document["outputs"][0]["postprocessing"] = [{"id": name} for name in names]


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_is_not_supported_is_named(tmp_path: Path, case: str) -> None:
    edit, reason = UNSUPPORTED[case]
    document = description(tmp_path)
    edit(document)
    with pytest.raises(PackageError, match=reason):
        parsed(document)


@pytest.mark.parametrize(("names", "activation"), [((), None), (("sigmoid",), "sigmoid"), (("softmax",), "softmax")])
def test_the_activation_is_the_postprocessing(tmp_path: Path, names: tuple[str, ...], activation: str | None) -> None:
    document = description(tmp_path)
    postprocess(document, "ensure_dtype", *names)
    assert parsed(document).activation == activation


@pytest.mark.parametrize(("text", "reason"), [(b"a: [", "not YAML"), (b"- a", "not a BioImage.IO"), (b"", "not a Bio")])
def test_text_that_is_no_description_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(PackageError, match=reason):
        parse(text)
