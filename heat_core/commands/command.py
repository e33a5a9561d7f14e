"""What a command is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

from .options import AddOption


class Command(NamedTuple):
    """A command.

    Args:
        name: what it is called by.
        run: of its options.
        add_options: declares them.
        summary: its line in the help.
        example: of its options.
    """

    name: str
    run: Callable[[argparse.Namespace], None]
    add_options: Callable[[AddOption], None]
    summary: str
    example: str
