"""The command line: `heat COMMAND --help`, or `python -m heat_core COMMAND --help`.

What a user can put right ends in one line on standard error and exit code 2; where some detectors
failed and the others' answer is printed, the code is 3; ctrl-C is 130, once what is finished is
printed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from .commands import (
    dashboard,
    decisions,
    finetuning,
    images,
    names,
    packs,
    plane,
    results,
    runs,
    scoring,
    serving,
    watching,
)
from .commands.batch import Incomplete, Interrupted, refusal_text

EXTRAS = {  # what only some commands import, and the extra that installs it
    "streamlit": "app",
    "plotly": "app",
    "timm": "images",
    "torchvision": "images",
    "PIL": "images",
    "tqdm": "images",
    "umap": "maps",
    "sklearn": "maps",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
}


EXIT_CODES = (
    "exit code: 0 done; 2 refused, in one line on standard error; 3 some detectors failed, named "
    "there,\nand the answer is of the others; 130 interrupted, and the answer is of what was "
    "finished"
)
MAX_SEEDS = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    code = 2
    command = started_as().split()[-1]
    try:
        options = parser().parse_args(arguments)
        command = f"{command} {options.command}"
        with _terminated_as_interrupted():
            options.run(options)
        sys.stdout.flush()
    except _UsageError as error:
        command, message = error.args
    except Incomplete as error:
        code, message = 3, str(error)
    except Interrupted as error:
        code, message = 130, f"interrupted; {error}"
    except KeyboardInterrupt:
        code, message = 130, "interrupted"
    except BrokenPipeError:  # as of `| head`: nobody reads on, and nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        message = _reason(error)
        if message is None:
            raise
    else:
        return 0
    print(f"{command}: {message}", file=sys.stderr)
    return code


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Makes SIGTERM the same as ctrl-C for a block, which prints what is finished."""
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if is_ours:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _reason(error: Exception) -> str | None:
    """Returns in one line what a user can put right; None of an error of ours."""
    if not isinstance(error, ModuleNotFoundError):
        return refusal_text(error)
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    return f"this needs {module}; pip install 'heat-dashboard[{EXTRAS[module]}]'"


def started_as() -> str:
    """Returns the words that start the command line: `heat` where it was called so."""
    return "heat" if Path(sys.argv[0]).stem == "heat" else "python -m heat_core"


def parser() -> argparse.ArgumentParser:
    """Returns the parser of every command."""
    top = _Parser(prog=started_as(), description="Energies that tell in- from out-of-distribution.")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=command.summary,
            epilog=f"{EXIT_CODES}\n\nexample: {started_as()} {command.name} {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        subparser.set_defaults(run=command.run)
        command.add_options(subparser.add_argument)
    return top


class _UsageError(Exception):
    """Arguments that cannot be: the words that began them, and what is wrong."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raises _UsageError."""
        command = self.prog.removeprefix("python -m ")
        raise _UsageError(command, f"{message.removeprefix('argument ')}; see --help.")


COMMANDS = (
    names.LIST,
    plane.TOY,
    images.FETCH,
    images.TRAIN_CLASSIFIER,
    finetuning.FINETUNE,
    images.EXTRACT,
    packs.PACK,
    results.BENCHMARK,
    results.REPORT,
    packs.PROJECT,
    images.SCORE_IMAGE,
    runs.FIT,
    scoring.SCORE,
    decisions.DECIDE,
    decisions.CHECK,
    decisions.EXPORT,
    watching.WATCH,
    serving.SERVE,
    dashboard.APP,
)


if __name__ == "__main__":
    sys.exit(main())
