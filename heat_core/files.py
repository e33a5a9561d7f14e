"""Files written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name beside it, then renames it. Creates the folder.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder, "new", "a.bin"), b"content")
    ...     Path(folder, "new", "a.bin").read_bytes()
    b'content'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder to fill, which replaces `path` if the block ends without an error.

    >>> with tempfile.TemporaryDirectory() as root:
    ...     with whole_folder(Path(root, "pack")) as folder:
    ...         _ = Path(folder, "a.txt").write_text("content")
    ...     Path(root, "pack", "a.txt").read_text()
    'content'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        _replace_folder(path, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(path: Path, new: Path) -> None:
    """Moves the folder `new` to `path`; an old folder there is deleted only once that is done."""
    if not path.exists():
        new.replace(path)
        return
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
