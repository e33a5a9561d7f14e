"""Uploaded arrays: read one upload at a time, within what all of them may hold. No Streamlit."""

from __future__ import annotations

import gc
import hashlib
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app.job import EVERYBODY, IsConnected, Job, Work, always_connected
from app.jobs import JobQueue
from heat_core.texts import one_line

if TYPE_CHECKING:
    from heat_core.pack import Pack
    from heat_core.table_files import ColumnNames

TITLE_LENGTH = 60
WAY_OUT = (
    "Larger arrays become a pack on the server: `python -m heat_core pack FILE --out PACKS/NAME`, "
    "with HEAT_PACKS naming the folder PACKS."
)
READ_TOGETHER = (
    "The files above are read together: take away, by the cross beside its name, what is not to be."
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


class UploadFile(NamedTuple):
    """A file that a visitor gives.

    Args:
        name: with its ending, as the visitor calls it.
        content: of the file.
    """

    name: str
    content: bytes


class UploadReader:
    """Reads uploads, one at a time: what reading takes beside the arrays is taken once.

    The jobs say what they do, and how far it is; one that is cancelled leaves nothing behind.

    Args:
        budget: of what all that were read may hold.
        is_connected: whether the tab of an owner is still open.
    """

    def __init__(self, budget: UploadBudget, is_connected: IsConnected = always_connected) -> None:
        self.budget = budget
        self.jobs = JobQueue(workers=1, is_connected=is_connected)

    def start_reading(
        self, files: Sequence[UploadFile], columns: ColumnNames | None = None, owner: str = ""
    ) -> Job:
        """Returns the job of reading an upload; its result is (digest, pack).

        It fails with what is wrong with the upload, in one line that names the file.

        Args:
            files: that together hold the sets of a pack; of those of one name the last counts.
            columns: which columns of tables hold what; by their usual names if None.
            owner: the tab that it stops with.
        """
        return self.start(lambda job: self._read(files, columns), owner)

    def start_reading_kept(self, size: int, read: Callable[[], Pack], owner: str = "") -> Job:
        """Returns the job of reading an upload that was kept; its result is its pack.

        It fails with what is wrong, in one line.

        Args:
            size: of its files, in bytes.
            read: gives its pack.
            owner: the tab that it stops with.
        """
        return self.start(lambda job: self._hold(size, read), owner)

    def start(self, work: Work, owner: str) -> Job:
        """Returns the job of some work on an upload, in line; its steps are reported to it."""

        def reported(job: Job) -> object:
            from heat_core.progress import progress_to

            with progress_to(partial(_report, job)):
                return work(job)

        return self.jobs.submit_owned("upload", reported, owner, EVERYBODY)

    def _read(self, files: Sequence[UploadFile], columns: ColumnNames | None) -> tuple[str, Pack]:
        from heat_core.npz import OverLimit
        from heat_core.table_files import USUAL_NAMES

        columns = columns or USUAL_NAMES
        with tempfile.TemporaryDirectory() as folder:
            paths = _written(files, Path(folder))
            by_path = {str(path): name for name, path in paths.items()}
            size = sum(path.stat().st_size for path in paths.values())
            named = {Path(name).stem: path for name, path in paths.items()}
            try:
                pack = self._read_within_budget(named, columns, size)
            except OverLimit as error:
                raise ValueError(f"{_with_names(error, by_path)} {WAY_OUT}") from None
            except ValueError as error:
                way_out = f" {READ_TOGETHER}" if len(paths) > 1 else ""
                raise ValueError(f"{_with_names(error, by_path)}{way_out}") from None
        digest = hashlib.sha256(repr((sorted(named), columns)).encode())
        for file in files:
            if file.name in paths:
                digest.update(file.content)
        title = one_line(", ".join(named), TITLE_LENGTH)
        return digest.hexdigest()[:16], replace(pack, card={**pack.card, "title": title})

    def _read_within_budget(
        self, files: Mapping[str, Path], columns: ColumnNames, file_size: int
    ) -> Pack:
        """Returns the pack in files, which counts as held, with the files, until it is gone."""
        from heat_core.npz import FileLimits
        from heat_core.pack_files import check_files, pack_from_files

        limits = FileLimits()
        size = file_size + check_files(files, limits)
        return self._hold(size, lambda: pack_from_files(files, columns, limits))

    def _hold(self, size: int, read: Callable[[], Pack]) -> Pack:
        """Returns the pack that `read` gives, which holds bytes of the budget until it is gone."""
        self.budget.take(size)
        try:
            pack = read()
        except BaseException:
            self.budget.give_back(size)
            raise
        self.budget.give_back_with(pack.train, size)
        return pack


def _report(job: Job, doing: str, share: float | None) -> None:
    job.report(job.progress if share is None else share, doing=doing)


def _written(files: Sequence[UploadFile], folder: Path) -> dict[str, Path]:
    """Writes files into a folder, each under a name of ours, and returns {its own name: path}.

    Of files with one name without its ending the last counts; an npz that holds a whole pack counts
    alone if it is the last, and not at all if others came after it.
    """
    latest = {Path(file.name).stem: file for file in files}
    paths = {}
    for number, file in enumerate(latest.values()):
        path = folder / f"{number}{Path(file.name).suffix.lower()}"
        path.write_bytes(file.content)
        paths[file.name] = path
    last = files[-1].name
    whole = {name for name, path in paths.items() if _is_whole_pack(path)}
    if last in whole:
        return {last: paths[last]}
    return {name: path for name, path in paths.items() if name not in whole}


def _is_whole_pack(path: Path) -> bool:
    """Returns whether a file is an npz that holds the training and the test set."""
    from heat_core.npz import npz_headers

    try:
        return path.suffix == ".npz" and {"train_z", "test_z"} <= set(npz_headers(path))
    except ValueError:
        return False


def _with_names(error: ValueError, names: Mapping[str, str]) -> str:
    """Returns what is wrong, with the visitor's names of files in the place of ours.

    Args:
        names: {path: name}.
    """
    message = str(error)
    for path, name in names.items():
        message = message.replace(path, name).replace(f"{Path(path).name}:", f"{name}:")
    return message
