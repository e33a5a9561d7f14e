"""The menu of a narrow window, which Streamlit leaves open over the page that was chosen in it."""

from __future__ import annotations

from app.components import declared

_mount = declared("phone_menu")


def close_menu_after_choice() -> None:
    """Has the menu close once a page is chosen in it. Nothing is seen of it."""
    _mount(key="phone-menu")
