"""Splits without an example of a class."""

from pathlib import Path

from tests.training.audit.audit_images import files, folders, found


def test_a_split_without_a_class(tmp_path: Path) -> None:
    files(tmp_path)
    rows = ["file,label,split"]
    for path in sorted(tmp_path.rglob("*.png")):
        split, label, _ = path.relative_to(tmp_path).parts
        if (split, label) != ("val", "sick"):
            rows.append(f"{path.relative_to(tmp_path)},{label},{split}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    data = {"loader": "table", "path": tmp_path / "table.csv", "images": tmp_path, "split": "split"}
    (finding,) = found(folders(tmp_path, data=data))
    assert (finding.name, finding.cases) == ("missing_classes", ("validation: sick",))
