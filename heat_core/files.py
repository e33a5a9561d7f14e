"""Files written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name beside it, then renames it. Creates the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder to fill; it takes the place of `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield part
        part.chmod(0o777 & ~_umask())
        _swap(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _swap(part: Path, path: Path) -> None:
    """Puts `part` in the place of `path`, which is deleted only when that is done."""
    if not path.exists():
        part.replace(path)
        return
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as aside:
        old = path.replace(Path(aside) / path.name)
        try:
            part.replace(path)
        except BaseException:
            old.replace(path)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
