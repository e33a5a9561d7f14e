"""Files and folders are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from heat_core.files import whole_folder, write_whole


def test_an_interrupted_file_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "f", b"old")

    def broken(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="no space"):
        write_whole(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a").write_text("old")
    plain = Path.replace

    def breaks(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise OSError("the disk is gone")
        return plain(self, target)

    monkeypatch.setattr(Path, "replace", breaks)
    with pytest.raises(OSError, match="disk"), whole_folder(tmp_path / "f") as part:
        (part / "new").write_text("new")
    assert (tmp_path / "f" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with whole_folder(tmp_path / "deep" / "f") as part:
            (part / name).write_text(name)
    assert [path.name for path in (tmp_path / "deep" / "f").iterdir()] == ["b"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["f"]
