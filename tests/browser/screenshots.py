"""Pictures of every page, light and dark, wide and narrow, into shots/.

The light wide ones go, small, into assets/pages/.

Run: python -m tests.browser.screenshots [PAGE ...]
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from heat_core.files import write_whole
from tests.browser.driver import ROOT, all_scored, browser, page_names, server, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHOTS = ROOT / "shots"
PAGE_PICTURES = ROOT / "assets" / "pages"
MAX_HEIGHT = 6000  # pixels of a picture in shots/
MAX_BYTES = 250_000  # of a picture in assets/pages/
SCALES = (1.0, 0.8, 0.65, 0.5)
FULL_HEIGHT = "document.querySelector('[data-testid=stMain]').scrollHeight"


@dataclass(frozen=True)
class Look:
    """A browser's window, in pixels, and its colour scheme."""

    width: int
    height: int
    dark: bool = False


LOOKS = {
    "light": Look(1440, 1180),
    "dark": Look(1440, 1180, dark=True),
    "narrow": Look(400, 900),
}
TRAINED = "toy=crosses9&job=toy.crosses9.HEAT.modern.0"
LINKS = {
    "toy_lab": f"?{TRAINED}",
    "landscape": f"landscape?{TRAINED}",
    "demo": "demo?step=4",
    "energy": "energy?toy=moons&job=classifier.moons.relu.0",
}
"""{page: what is opened}, where it is not the page's own address alone."""


def _shows(text: str) -> Callable[[Page], None]:
    """Returns what waits for a text."""
    return lambda page: page.get_by_text(text).first.wait_for(timeout=600_000)


READY: dict[str, Callable[[Page], None]] = {
    "toy_lab": _shows("Modes kept"),
    "landscape": _shows("log Z"),
    "energy": _shows("Fine-tuning with auxiliary"),
    "detectors": all_scored,
    "threshold_lab": _shows("Which images sit at the line"),
    "monitor": _shows("Who noticed when"),
}
"""{page: what waits until it shows what else it must show}."""


def main(names: list[str]) -> None:
    """Takes pictures of pages, by default of all, in every look."""
    SHOTS.mkdir(exist_ok=True)
    with server() as url:
        for look_name, look in LOOKS.items():
            with browser(look.width, look.height, look.dark) as context:
                page = context.new_page()
                for name in names or page_names():
                    _open(page, url, name, look)
                    if look_name == "light":
                        shrink(page.screenshot(), PAGE_PICTURES / f"{name}.png")
                    _stretch(page, look)
                    page.screenshot(path=SHOTS / f"{name}-{look_name}.png")


def _open(page: Page, url: str, name: str, look: Look) -> None:
    page.set_viewport_size({"width": look.width, "height": look.height})
    page.goto(f"{url}/{LINKS.get(name, name)}")
    settle(page, 1500)
    READY.get(name, settle)(page)
    settle(page, 1000)


def _stretch(page: Page, look: Look) -> None:
    """Makes the window as high as the page, up to `MAX_HEIGHT`."""
    height = max(page.evaluate(FULL_HEIGHT) + 40, look.height)
    page.set_viewport_size({"width": look.width, "height": min(height, MAX_HEIGHT)})
    settle(page, 1000)


def shrink(content: bytes, path: Path) -> None:
    """Writes a picture in few colours, smaller if that is not enough, until it fits `MAX_BYTES`."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    out = io.BytesIO()
    for scale in SCALES:
        size = round(image.width * scale), round(image.height * scale)
        small = image.resize(size, Image.Resampling.LANCZOS)
        few_colours = small.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        out = io.BytesIO()
        few_colours.save(out, "PNG", optimize=True)
        if out.tell() <= MAX_BYTES:
            break
    write_whole(path, out.getvalue())


if __name__ == "__main__":
    main(sys.argv[1:])
