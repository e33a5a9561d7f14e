"""A button that copies the link of the page. The browser does it alone; nothing is sent."""

from __future__ import annotations

from app.components import declared

_mount = declared("copy_link")


def copy_link(caution: str = "") -> None:
    """Shows the button.

    Args:
        caution: what the link does not bring along, which the button says when it is pressed.
    """
    _mount(data={"caution": caution}, key="copy-link")
