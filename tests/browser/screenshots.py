"""Pictures of every room, light and dark, wide and narrow, into shots/; the light wide ones, small, into assets/rooms/.

Run: python -m tests.browser.screenshots [ROOM ...]
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from heat_core.files import write_whole
from tests.browser.driver import ROOT, all_scored, browser, server, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

LOOKS = {
    "light": (1440, 1180, False),
    "dark": (1440, 1180, True),
    "narrow": (400, 900, False),
}  # width, height, dark
TALLEST = 6000  # pixels of a picture in shots/
LARGEST = 250_000  # bytes of a picture in assets/rooms/
TRAINED = "toy=crosses9&job=toy.crosses9.HEAT.modern.0"
LINKS = {"toy_lab": f"?{TRAINED}", "landscape": f"landscape?{TRAINED}", "demo": "demo?step=4"}
"""Where a room is looked at, if not at its own address alone."""


def _shown(page: Page, text: str) -> None:
    page.get_by_text(text).first.wait_for(timeout=600_000)


READY: dict[str, Callable[[Page], None]] = {
    "toy_lab": lambda page: _shown(page, "Modes kept"),
    "landscape": lambda page: _shown(page, "log Z"),
    "detectors": all_scored,
    "threshold_lab": lambda page: _shown(page, "Which images sit at the line"),
}
"""What else a room must show before it is pictured."""


def rooms() -> list[str]:
    """Returns the names of all rooms: every folder of app with a `page.py`."""
    return sorted(path.parent.name for path in (ROOT / "app").glob("*/page.py"))


def main(wanted: list[str]) -> None:
    """Walks through the rooms in every look."""
    shots = ROOT / "shots"
    shots.mkdir(exist_ok=True)
    with server() as url:
        for look, (width, height, dark) in LOOKS.items():
            with browser(width, height, dark) as context:
                page = context.new_page()
                for room in wanted or rooms():
                    page.set_viewport_size({"width": width, "height": height})
                    page.goto(f"{url}/{LINKS.get(room, room)}")
                    settle(page, 1500)
                    READY.get(room, settle)(page)
                    settle(page, 1000)
                    if look == "light":
                        shrink(page.screenshot(), ROOT / "assets" / "rooms" / f"{room}.png")
                    full = page.evaluate(
                        "document.querySelector('[data-testid=stMain]').scrollHeight"
                    )
                    page.set_viewport_size(
                        {"width": width, "height": min(max(full + 40, height), TALLEST)}
                    )
                    settle(page, 1000)
                    page.screenshot(path=shots / f"{room}-{look}.png")


def shrink(content: bytes, path: Path) -> None:
    """Writes a picture in few colours, and smaller if that is not enough, until it fits `LARGEST`."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    for scale in (1.0, 0.8, 0.65, 0.5):
        small = image.resize(
            (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
        )
        out = io.BytesIO()
        small.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
            out, "PNG", optimize=True
        )
        if out.tell() <= LARGEST:
            break
    write_whole(path, out.getvalue())


if __name__ == "__main__":
    main(sys.argv[1:])
