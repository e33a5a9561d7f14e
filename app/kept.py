"""Uploads that the server keeps for a stated time, each behind a link nobody can guess.

No Streamlit here. On the disk an upload lies in a folder that is named by a hash of its token: who
lists the folder, or a copy of it, learns no link.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heat_core.files import whole_folder, write_whole

if TYPE_CHECKING:
    from heat_core.pack import Pack

FOLDER_VARIABLE = "HEAT_KEEP"  # the folder; without one nothing is kept
DAYS_VARIABLE = "HEAT_KEEP_DAYS"  # 0 keeps nothing, too
QUOTA_VARIABLE = "HEAT_KEEP_MB"
DEFAULT_DAYS, DEFAULT_MB = 7, 4096
TOKEN_BYTES = 16  # of `secrets`: 128 bits
TOKEN = re.compile("[A-Za-z0-9_-]{22}")  # what these are as text
ENTRY = re.compile("[0-9a-f]{64}")
CARD = "kept.json"
MADE = "made"  # the folder of what is made of an upload

Place = tuple[str, ...]  # folders, and the name of a file
DAY_SECONDS = 24 * 3600.0
STALE_SECONDS = 3600.0  # after which what a killed server was writing is cleared away


class NotKept(ValueError):
    """An upload cannot be kept; says why in one line."""


@dataclass(frozen=True)
class KeptUpload:
    """An upload that is kept.

    Args:
        token: of its link.
        key: that its data had when it was uploaded.
        until: when it goes, in seconds since 1970.
        size: in bytes.
    """

    token: str
    key: str
    until: float
    size: int

    @property
    def until_text(self) -> str:
        """The day on which it goes, such as `4 December 2026`."""
        day = time.localtime(self.until)
        return f"{day.tm_mday} {time.strftime('%B %Y', day)}"


class KeptUploads:
    """The uploads that are kept, in a folder of the server's.

    Args:
        folder: that holds nothing else; it is made, for the server's user alone.
        days: for how long each is kept.
        quota: in bytes, of all together.
        now: the time, in seconds since 1970.
    """

    def __init__(
        self, folder: Path, days: float, quota: int, now: Callable[[], float] = time.time
    ) -> None:
        self.folder, self.days, self.quota = folder, days, quota
        self._now = now
        self._lock = threading.Lock()

    def keep(self, pack: Pack, key: str) -> KeptUpload:
        """Keeps an upload and returns it, with the token of its link.

        What `report_progress` raises on the way ends it, and leaves nothing behind.

        Args:
            key: of its data.

        Raises:
            NotKept: the quota has no room for it, or the folder cannot be written.
        """
        from heat_core.pack import write_pack

        token = secrets.token_urlsafe(TOKEN_BYTES)
        until = self._now() + self.days * DAY_SECONDS
        try:
            with self._lock:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._remove_expired()
                self._check_quota(_bytes_of(pack))
                with whole_folder(self._entry(token), overwrite=False) as part:
                    write_pack(pack, part / "pack")
                    (part / CARD).write_text(json.dumps({"key": key, "until": until}))
        except OSError as error:
            raise NotKept(f"it cannot be kept: the disk says {error.strerror}.") from error
        return KeptUpload(token, key, until, _size_of(self._entry(token)))

    def find(self, token: str) -> KeptUpload | None:
        """Returns the upload of a token; None if none is kept by it, or it has expired."""
        entry = self._entry_of(token)
        card = None if entry is None else _read_card(entry)
        if entry is None or card is None or card[1] <= self._now():
            return None
        return KeptUpload(token, *card, _size_of(entry))

    def read(self, kept: KeptUpload) -> Pack:
        """Returns the pack of an upload. Raises ValueError if it is gone or damaged."""
        from heat_core.pack import read_pack

        return read_pack(self._entry(kept.token) / "pack")

    def delete(self, token: str) -> None:
        """Deletes an upload, with all that is kept of it; from now on nobody can open it."""
        with self._lock:
            entry = self._entry_of(token)
            if entry is not None:
                _delete(entry)

    def tend(self) -> None:
        """Deletes what has expired, and what was being written when a server was killed."""
        with self._lock:
            self._remove_expired()

    # -- what is made of an upload

    def keep_files(self, token: str, files: Mapping[Place, bytes]) -> None:
        """Keeps files that were made of an upload with it, each whole, where the quota has room.

        Of one that is not kept any more nothing is written.

        Args:
            files: {(folder, ..., name): content}.
        """
        with self._lock, contextlib.suppress(OSError, NotKept):
            entry = self._entry_of(token)
            if entry is None:
                return
            self._check_quota(sum(map(len, files.values())))
            for place, content in files.items():
                write_whole(_path_of(entry, place), content)

    def files(self, token: str, folder: Place) -> list[Path]:
        """Returns the files that are kept in a folder with an upload."""
        entry = self._entry_of(token)
        return [] if entry is None else sorted(_path_of(entry, folder).glob("[!.]*"))

    # -- the folder

    def _entry(self, token: str) -> Path:
        return self.folder / hashlib.sha256(token.encode()).hexdigest()

    def _entry_of(self, token: str) -> Path | None:
        """Returns the folder of a token that is there; None of what is no token, or a symlink."""
        if not TOKEN.fullmatch(token):
            return None
        entry = self._entry(token)
        return entry if entry.is_dir() and not entry.is_symlink() else None

    def _entries(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [path for path in self.folder.iterdir() if ENTRY.fullmatch(path.name)]

    def _check_quota(self, size: int) -> None:
        held = sum(map(_size_of, self._entries()))
        if held + size > self.quota:
            raise NotKept(
                f"it cannot be kept: the server keeps {self.quota / 2**20:,.0f} MB of uploads at "
                f"most, of which {max(0, self.quota - held) / 2**20:,.0f} MB are free, and this "
                f"one takes {size / 2**20:,.0f} MB."
            )

    def _remove_expired(self) -> None:
        for entry in self._entries():
            card = _read_card(entry)
            if card is None or card[1] <= self._now():
                _delete(entry)
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name.startswith(".") and _age(path) > STALE_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)


def kept_uploads() -> KeptUploads | None:
    """Returns where the server keeps uploads, as its operator has set it; None if nowhere."""
    folder = os.environ.get(FOLDER_VARIABLE, "")
    days = float(os.environ.get(DAYS_VARIABLE, DEFAULT_DAYS))
    quota = int(os.environ.get(QUOTA_VARIABLE, DEFAULT_MB)) * 2**20
    return KeptUploads(Path(folder).resolve(), days, quota) if folder and days > 0 else None


def _path_of(entry: Path, place: Place) -> Path:
    """Returns the path of a file, or a folder, of an upload; it lies in the upload's own folder."""
    words = [re.sub(r"[^\w+-]", "_", word) for word in place]
    return entry.joinpath(MADE, *words)


def _read_card(entry: Path) -> tuple[str, float] | None:
    """Returns (key, until) of a folder; None if it is none of ours."""
    try:
        card = json.loads((entry / CARD).read_text())
        return str(card["key"]), float(card["until"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _delete(entry: Path) -> None:
    """Deletes a folder: nobody finds it from the first moment on."""
    if entry.is_symlink():
        entry.unlink()
        return
    gone = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}")
    entry.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _size_of(folder: Path) -> int:
    """Returns the bytes of all files in a folder that is no symlink."""
    if folder.is_symlink():
        return 0
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _bytes_of(pack: Pack) -> int:
    """Returns about how many bytes the files of a pack take."""
    tensors = [
        tensor
        for _, features in pack.sets()
        for tensor in (
            features.z,
            *features.views.values(),
            *(column.values for column in features.metadata.values()),
        )
    ]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0
