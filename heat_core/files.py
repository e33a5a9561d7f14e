"""Files written whole or not at all, and tensors read from one."""

from __future__ import annotations

import ctypes
import io
import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .messages import error_text

if TYPE_CHECKING:
    from torch import Tensor

try:
    import fcntl
except ImportError:  # Windows has no such locks: what killed writers leave stays there
    fcntl = None

PART = ".part"  # ends the name of what is being written
STALE_SECONDS = 60.0  # after which a part that nobody has locked was left by a killed writer
AT_FDCWD = -100  # relative paths begin where the process is
RENAME_EXCHANGE = 2


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name beside it, then renames it. Creates the folder.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder, "new", "a.bin"), b"content")
    ...     Path(folder, "new", "a.bin").read_bytes()
    b'content'
    """
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Gives a file to fill, which replaces `path` if the block ends without an error.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder, "a.bin")) as file:
    ...         _ = file.write(b"con")
    ...         _ = file.write(b"tent")
    ...     Path(folder, "a.bin").read_bytes()
    b'content'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(PART, f".{path.name}.", path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, _at_work(temporary):
            yield file
            file.flush()
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _delete_stale_parts(path)


def zip_of(files: Mapping[str, bytes], folder: str) -> bytes:
    """Returns a zip file of files in a folder: the same bytes for the same files.

    Args:
        files: {name: content}.
        folder: that unpacking makes.

    >>> zipfile.ZipFile(io.BytesIO(zip_of({"a.txt": b"content"}, "bundle"))).namelist()
    ['bundle/a.txt']
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            entry = zipfile.ZipInfo(f"{folder}/{name}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content)
    return packed.getvalue()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Returns the tensors of a safetensors file, {name: tensor}, and its metadata.

    Raises ValueError if there is no such file, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata
    except (SafetensorError, OSError) as error:
        raise ValueError(error_text(error)) from None


@contextmanager
def whole_folder(path: Path, overwrite: bool = True) -> Iterator[Path]:
    """Gives a temporary folder to fill, which replaces `path` if the block ends without an error.

    Where the system can exchange two folders there is one at `path` at every moment.

    Args:
        overwrite: whether to replace a folder that is there by then.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.

    >>> with tempfile.TemporaryDirectory() as root:
    ...     with whole_folder(Path(root, "pack")) as folder:
    ...         _ = Path(folder, "a.txt").write_text("content")
    ...     Path(root, "pack", "a.txt").read_text()
    'content'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(PART, f".{path.name}.", path.parent))
    try:
        with _at_work(temporary):
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            _move_folder(temporary, path, overwrite)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _delete_stale_parts(path)


def _move_folder(new: Path, path: Path, overwrite: bool) -> None:
    """Moves the folder `new` to `path`; an old folder there lies at `new` then, or is deleted."""
    try:
        new.rename(path)
    except OSError:
        if not path.exists():
            raise
        if not overwrite:
            raise FileExistsError(
                f"{path} exists by now: something else wrote it meanwhile, and it is left as it is."
            ) from None
        if not (path.is_dir() and _exchange(new, path)):
            _replace_folder(new, path)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two folders at once, and returns whether the system could."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    paths = AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other)
    return rename(*paths, RENAME_EXCHANGE) == 0


def _replace_folder(new: Path, path: Path) -> None:
    """Moves the folder `new` to `path`; the old folder there is deleted only once that is done."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as aside:
        old = path.replace(Path(aside) / path.name)
        try:
            new.replace(path)
        except BaseException:
            old.replace(path)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# -- parts of killed writers -----------------------------------------------------------------------


@contextmanager
def _at_work(part: Path) -> Iterator[None]:
    """Locks a part for a block. The system unlocks it when the process is gone, however it ends."""
    handle = _locked(part)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _locked(part: Path) -> int | None:
    """Returns the open handle that locks a file or folder; None if another has, or cannot lock."""
    if fcntl is None:
        return None
    handle = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _delete_stale_parts(path: Path) -> None:
    """Deletes what writers of `path` left when they were killed, now that `path` is whole."""
    name = re.compile(rf"\.{re.escape(path.name)}\.\w+{re.escape(PART)}")
    for part in path.parent.iterdir():
        if name.fullmatch(part.name):
            with suppress(OSError):  # somebody else deletes it, or it is not ours
                _delete_if_stale(part)


def _delete_if_stale(part: Path) -> None:
    if time.time() - part.stat().st_mtime < STALE_SECONDS:
        return
    handle = _locked(part)
    if handle is None:
        return
    try:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink()
    finally:
        os.close(handle)
