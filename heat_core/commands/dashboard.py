"""The dashboard, as a process of its own."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from .command import Command
from .options import AddOption, whole_number
from .shared import require

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def _app_options(add: AddOption) -> None:
    add(
        "--port",
        type=whole_number(1, 65535),
        default=8501,
        help="where it listens: http://localhost:PORT",
    )
    flags = "after --, Streamlit's own: -- --server.headless true"
    add("flags", metavar="FLAG", nargs="*", help=flags)


def app(options: argparse.Namespace) -> None:
    """Becomes Streamlit, which finds the dashboard's settings beside its script."""
    require("streamlit")
    script = _dashboard() / "app" / "main.py"
    streamlit = [sys.executable, "-P", "-m", "streamlit"]
    settings = ["--server.port", str(options.port), *options.flags]
    os.execv(sys.executable, [*streamlit, "run", str(script), *settings])


def _dashboard() -> Traversable:
    """Returns the folder that holds app/ and assets/: the checkout that this is, or the wheel's."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "app" / "main.py").is_file() and (checkout / "assets").is_dir():
        return checkout
    return resources.files("heat_dashboard")


APP = Command(
    name="app",
    run=app,
    add_options=_app_options,
    summary="Open the dashboard in a browser.",
    example="--port 8502",
)
