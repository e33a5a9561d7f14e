"""What an error says, in one line."""

from __future__ import annotations


def error_text(error: BaseException) -> str:
    """Returns an error's message in one line, or its kind where it says nothing.

    >>> error_text(ValueError("wanted rows,\\n  got none.")), error_text(EOFError())
    ('wanted rows, got none.', 'EOFError')
    """
    return " ".join(str(error).split()) or type(error).__name__
