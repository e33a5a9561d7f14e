"""Uploaded arrays: read one upload at a time, within what all of them may hold. No Streamlit."""

from __future__ import annotations

import gc
import hashlib
import tempfile
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heat_core.pack import Pack

WAIT_SECONDS = 60.0  # for other uploads to be read
WAY_OUT = (
    "Larger arrays become a pack on the server: `python -m heat_core pack FILE --out PACKS/NAME`, "
    "with HEAT_PACKS naming the folder PACKS."
)


class UploadBudget:
    """How many bytes all uploads may hold together. What holds them gives them back when it goes.

    Args:
        limit: in bytes.

    >>> class Arrays:
    ...     pass
    >>> budget = UploadBudget(100)
    >>> arrays = Arrays()
    >>> budget.take(60)
    >>> budget.give_back_with(arrays, 60)
    >>> budget.take(60)
    Traceback (most recent call last):
    heat_core.npz.OverLimit: 60 bytes, and all visitors' arrays may hold 100 together, of which 40 \
are free.
    >>> del arrays
    >>> budget.free
    100
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0
        self._lock = threading.RLock()  # a finalizer may run while it is held

    @property
    def free(self) -> int:
        """Bytes that may still be taken."""
        return self.limit - self._held

    def take(self, size: int) -> None:
        """Takes bytes. Raises OverLimit if there are not so many."""
        from heat_core.npz import OverLimit

        if size > self.free:
            gc.collect()  # what closed sessions held may still wait for it
        with self._lock:
            if size > self.free:
                raise OverLimit(
                    f"{size:,} bytes, and all visitors' arrays may hold {self.limit:,} together, "
                    f"of which {self.free:,} are free."
                )
            self._held += size

    def give_back(self, size: int) -> None:
        """Gives bytes back."""
        with self._lock:
            self._held -= size

    def give_back_with(self, holder: object, size: int) -> None:
        """Gives bytes back as soon as an object is gone."""
        weakref.finalize(holder, self.give_back, size).atexit = False


class UploadReader:
    """Reads uploads, one at a time: what reading takes beside the arrays is taken once.

    Args:
        budget: of what all that were read may hold.
    """

    def __init__(self, budget: UploadBudget) -> None:
        self.budget = budget
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="uploads")

    def start_reading(self, content: bytes, name: str) -> Future[tuple[str, Pack]]:
        """Returns what will be (digest of an upload, its pack), read by another thread.

        It raises ValueError with what is wrong with the upload, in one line.

        Args:
            content: of an npz file.
            name: of the file.
        """
        return self._thread.submit(self._read, content, name)

    def _read(self, content: bytes, name: str) -> tuple[str, Pack]:
        from heat_core.npz import OverLimit

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "upload.npz"
            path.write_bytes(content)
            try:
                pack = self._read_within_budget(path, len(content))
            except OverLimit as error:
                raise ValueError(f"{_without_path(error, path)} {WAY_OUT}") from None
            except ValueError as error:
                raise ValueError(_without_path(error, path)) from None
        digest = hashlib.sha256(content).hexdigest()[:16]
        pack = replace(pack, card={"title": Path(name).stem})
        return digest, pack

    def _read_within_budget(self, path: Path, file_size: int) -> Pack:
        """Returns the pack in a file, which counts as held, with the file, until it is gone."""
        from heat_core.npz import Limits, check_npz
        from heat_core.pack import pack_from_npz

        limits = Limits()
        size = file_size + check_npz(path, limits)
        self.budget.take(size)
        try:
            pack = pack_from_npz(path, limits)
        except BaseException:
            self.budget.give_back(size)
            raise
        self.budget.give_back_with(pack.train, size)
        return pack


def _without_path(error: ValueError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")
