"""Files that tabs leave with the server are bounded: of one tab, and of all."""

from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from app import left_files
from app.left_files import LeftFiles


def _file(name: str, size: int) -> UploadedFileRec:
    return UploadedFileRec(name, f"{name}.npz", "application/octet-stream", bytes(size))


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> MemoryUploadedFileManager:
    """Streamlit's manager of files, of which one tab may leave 40 bytes and all tabs 100."""
    monkeypatch.setattr(left_files, "TAB_BYTES", 40)
    monkeypatch.setattr(left_files, "TAB_FILES", 3)
    manager = MemoryUploadedFileManager("/upload")
    LeftFiles(manager, 100).bound()
    return manager


def _names(manager: MemoryUploadedFileManager, tab: str) -> list[str]:
    return list(manager.file_storage.get(tab, {}))


def test_of_one_tab_the_newest_files_stay(manager: MemoryUploadedFileManager) -> None:
    for name in ("a", "b", "c"):
        manager.add_file("ann", _file(name, 20))
    assert _names(manager, "ann") == ["b", "c"]
    manager.add_file("ann", _file("b", 20))  # sent again: it is its tab's newest now
    assert _names(manager, "ann") == ["c", "b"]


def test_of_one_tab_no_more_than_so_many_files_stay(manager: MemoryUploadedFileManager) -> None:
    for name in ("a", "b", "c", "d"):
        manager.add_file("ann", _file(name, 0))
    assert _names(manager, "ann") == ["b", "c", "d"]


def test_what_is_more_than_all_may_leave_is_refused_until_a_tab_is_gone(
    manager: MemoryUploadedFileManager,
) -> None:
    for tab in ("ann", "bob"):
        manager.add_file(tab, _file("a", 40))
    with pytest.raises(HTTPException) as caught:
        manager.add_file("carol", _file("a", 30))
    assert caught.value.status_code == 413
    assert _names(manager, "ann") == _names(manager, "bob") == ["a"]
    manager.remove_session_files("bob")
    manager.add_file("carol", _file("a", 30))
    assert _names(manager, "carol") == ["a"]
