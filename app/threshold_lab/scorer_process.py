"""The NumPy scorer of a bundle, made by a process of its own. No Streamlit here.

`torch.export` keeps state that all threads of a process share: of two exports at a time both fail,
and no thread of a server can be stopped in the middle of one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import heat_core

POLL_SECONDS = 0.1
CODE_FOLDER = Path(heat_core.__file__).parents[1]


def numpy_scorer_files(
    bundle_files: dict[str, bytes], while_waiting: Callable[[], None]
) -> dict[str, bytes]:
    """Returns the files of the folder that `heat export --to numpy` makes, {name: content}.

    Args:
        bundle_files: {name: content}.
        while_waiting: called some times a second; where it raises, the process is killed.

    Raises:
        ValueError: the command refuses the bundle, in its own words.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundle, scorer = Path(folder, "bundle"), Path(folder, "scorer")
        bundle.mkdir()
        for name, content in bundle_files.items():
            (bundle / name).write_bytes(content)
        command = [sys.executable, "-m", "heat_core", "export", str(bundle), "--out", str(scorer)]
        returncode, errors = _run(command, while_waiting)
        if returncode:
            last_line = (errors.strip().splitlines() or ["the scorer could not be made."])[-1]
            raise ValueError(last_line.partition("export: ")[2] or last_line)
        return {path.name: path.read_bytes() for path in sorted(scorer.iterdir())}


def _run(command: list[str], while_waiting: Callable[[], None]) -> tuple[int, str]:
    """Returns the exit code of a command and what it wrote to standard error."""
    with subprocess.Popen(
        command, cwd=CODE_FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while True:
                while_waiting()
                with suppress(subprocess.TimeoutExpired):
                    _, errors = process.communicate(timeout=POLL_SECONDS)
                    return process.returncode, errors
        except BaseException:
            process.kill()
            raise
