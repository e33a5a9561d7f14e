"""Files that tabs leave with the server: how many bytes one tab and all tabs may leave.

Streamlit bounds a single file. It keeps as many as a tab sends until that tab is gone, whether a
page asks for them or not.
"""

from __future__ import annotations

import os
import threading

from starlette.exceptions import HTTPException
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

UPLOADS_VARIABLE = "HEAT_UPLOADS_MB"  # the environment variable that sets what all may hold
DEFAULT_MB = 1024
TAB_BYTES = 400 * 2**20  # of the files of one tab: two as large as one may be
TAB_FILES = 32


def uploads_limit() -> int:
    """Returns how many bytes all visitors' files may hold, and all arrays read from them."""
    return int(os.environ.get(UPLOADS_VARIABLE, DEFAULT_MB)) * 2**20


class LeftFiles:
    """The files that Streamlit holds for all tabs, within bounds.

    Of a tab that sends more than its share the oldest files go: those that a newer one has taken
    the place of. What would be more than all tabs may leave is refused.

    Args:
        manager: that holds the files.
        limit: of the bytes of all of them.
    """

    def __init__(self, manager: MemoryUploadedFileManager, limit: int) -> None:
        self.limit = limit
        self._manager = manager
        self._keep = manager.add_file
        self._lock = threading.Lock()

    def bound(self) -> None:
        """Has every file that comes from now on go through `add_file`."""
        self._manager.add_file = self.add_file

    def add_file(self, session_id: str, file: UploadedFileRec) -> None:
        """Keeps a file of a tab. Raises HTTPException if all files would be too large."""
        with self._lock:
            self._manager.remove_file(session_id, file.file_id)
            self._make_room(session_id, len(file.data))
            if self._held_bytes() + len(file.data) > self.limit:
                detail = "The server holds as many uploads as it may. Try again later."
                raise HTTPException(413, detail)
            self._keep(session_id, file)

    def _make_room(self, session_id: str, size: int) -> None:
        """Removes the oldest files of a tab until one of `size` bytes is within its share."""
        files = list(self._manager.file_storage.get(session_id, {}).values())
        held = sum(len(file.data) for file in files)
        for i, file in enumerate(files):
            if held + size <= TAB_BYTES and len(files) - i < TAB_FILES:
                return
            self._manager.remove_file(session_id, file.file_id)
            held -= len(file.data)

    def _held_bytes(self) -> int:
        tabs = list(self._manager.file_storage.values())
        return sum(len(file.data) for files in tabs for file in list(files.values()))
