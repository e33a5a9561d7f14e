"""What an error says, in one line."""

from __future__ import annotations


def one_line(error: BaseException) -> str:
    """Returns an error's message in one line, or its kind where it says nothing.

    >>> one_line(ValueError("wanted rows,\\n  got none.")), one_line(EOFError())
    ('wanted rows, got none.', 'EOFError')
    """
    return " ".join(str(error).split()) or type(error).__name__
