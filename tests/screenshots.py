"""Pictures of every room, light and dark, wide and narrow, into shots/; the README's one into assets/.

Run: python -m tests.screenshots
"""

from __future__ import annotations

import shutil
from urllib.parse import urlsplit

from tests.browser import ROOT, all_scored, browser, server, settle

LOOKS = {"light": (1440, 1180, False), "dark": (1440, 1180, True), "narrow": (400, 3400, False)}  # width, height, dark


def main() -> None:
    """Walks through the rooms in every look."""
    shots = ROOT / "shots"
    shots.mkdir(exist_ok=True)
    with server() as url:
        for look, (width, height, dark) in LOOKS.items():
            with browser(width, height, dark) as context:
                page = context.new_page()
                page.goto(f"{url}/?seed=1&preset=quick" if look == "dark" else url)
                settle(page)
                page.screenshot(path=shots / f"toy-lab-empty-{look}.png")
                button = page.get_by_role("button", name="Train HEAT")
                if button.count():
                    button.click()
                    page.wait_for_timeout(2500)
                    page.screenshot(path=shots / f"toy-lab-training-{look}.png")
                page.get_by_text("Modes kept").wait_for(timeout=240_000)
                settle(page)
                page.screenshot(path=shots / f"toy-lab-{look}.png")
                page.goto(f"{url}/landscape?{urlsplit(page.url).query}")
                page.get_by_text("log Z").first.wait_for(timeout=240_000)
                page.set_viewport_size({"width": width, "height": max(height, 2000)})
                settle(page)
                page.screenshot(path=shots / f"landscape-{look}.png")
                page.goto(f"{url}/detectors")
                all_scored(page)
                page.set_viewport_size({"width": width, "height": max(height, 2300)})
                settle(page)
                page.screenshot(path=shots / f"detectors-{look}.png")
                page.set_viewport_size({"width": width, "height": height})
    shutil.copy(shots / "toy-lab-light.png", ROOT / "assets" / "toy-lab.png")


if __name__ == "__main__":
    main()
