"""Findings of shortcuts: their figure and their remedy."""

from pathlib import Path

from tests.training.audit.audit_images import files, folders, found
from tests.training.audit.planted_faults import framed, of_sick


def test_a_finding_names_its_figure_and_what_to_do(tmp_path: Path) -> None:
    of_sick(framed)(files(tmp_path))
    (finding,) = found(folders(tmp_path))
    assert "AUROC 1.000" in finding.summary
    assert "most informative: left" in finding.summary
    assert finding.remedy in str(finding)
