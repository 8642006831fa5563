"""Tests of the repository scan: order, drafts and stamps."""

import os
from pathlib import Path

from service.repository.scan import MAX_FILES, absence, find_versions, has_description, newest_first, stamp


def test_versions_are_sorted_by_model_and_number() -> None:
    folders = [Path(name, version) for name in ("b", "a") for version in ("0.9", "0.10", "0.2.7", "draft")]
    assert [str(folder) for folder in newest_first(folders)] == [
        "a/0.10", "a/0.9", "a/0.2.7", "a/draft", "b/0.10", "b/0.9", "b/0.2.7", "b/draft",
    ]  # fmt: skip


def test_drafts_and_files_are_not_versions(tmp_path: Path) -> None:
    for folder in ("digits/1.0", "digits/.2.0", ".import/1.0"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "digits/notes.txt").touch()
    assert list(find_versions(tmp_path)) == [tmp_path / "digits/1.0"]


def test_a_stamp_changes_with_every_change_of_a_file(tmp_path: Path) -> None:
    file, other = tmp_path / "model.onnx", tmp_path / "README.md"
    stamps = [stamp(tmp_path)]
    file.write_bytes(b"a")
    stamps.append(stamp(tmp_path))
    os.utime(file, ns=(0, 0))
    stamps.append(stamp(tmp_path))
    (tmp_path / "draft").write_bytes(b"a")
    (tmp_path / "draft").replace(file)  # another inode
    os.utime(file, ns=(0, 0))
    stamps.append(stamp(tmp_path))
    other.touch()
    stamps.append(stamp(tmp_path))
    file.unlink()
    stamps.append(stamp(tmp_path))
    assert len(set(stamps)) == len(stamps)


def test_a_missing_folder_has_an_empty_stamp(tmp_path: Path) -> None:
    assert stamp(tmp_path / "missing") == ()


def test_a_stamp_is_of_the_entries_themselves(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    for n in range(MAX_FILES + 10):
        (tmp_path / str(n)).touch()
    assert len(stamp(tmp_path)) == MAX_FILES + 1  # enough to see that there are too many


def test_a_description_is_an_entry_of_any_kind(tmp_path: Path) -> None:
    assert not has_description(stamp(tmp_path))
    (tmp_path / "rdf.yaml").symlink_to("nowhere")
    assert has_description(stamp(tmp_path))


def test_links_to_folders_are_followed_and_others_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "real" / "digits" / "1.0").mkdir(parents=True)
    (tmp_path / "root").symlink_to("real")
    (tmp_path / "real" / "linked").symlink_to("digits")
    (tmp_path / "real" / "digits" / "2.0").symlink_to("1.0")
    (tmp_path / "real" / "digits" / "3.0").symlink_to("3.0")
    os.mkfifo(tmp_path / "real" / "digits" / "4.0")
    found = [str(folder.relative_to(tmp_path)) for folder in find_versions(tmp_path / "root")]
    assert found == ["root/digits/2.0", "root/digits/1.0", "root/linked/2.0", "root/linked/1.0"]


def test_a_repository_that_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    assert absence(tmp_path) == "it is empty"
    assert absence(tmp_path / "missing") == "No such file or directory"
    assert find_versions(tmp_path / "missing") == {}
    (tmp_path / "file").touch()
    assert absence(tmp_path) == ""
    assert absence(tmp_path / "file") == "Not a directory"
