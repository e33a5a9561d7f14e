"""A journey in a real browser: one's own data through the head of a page, good, bad and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.browser.driver import WITH_A_PACK, browser

pytestmark = WITH_A_PACK

SERVER_DATA = "CIFAR-10 sample"


def test_own_data_good_and_bad_and_back(url: str, tmp_path: Path, arrays: dict):
    np.savez(tmp_path / "good.npz", **arrays)
    (tmp_path / "bad.npz").write_bytes(b"no arrays at all")
    (tmp_path / "notes.txt").write_text("no arrays either")
    with browser() as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.goto(f"{url}/threshold_lab?scorer=MoG")
        page.get_by_role("button", name=SERVER_DATA).click()
        upload = page.locator('[data-testid="stFileUploader"] input[type="file"]')
        upload.set_input_files(tmp_path / "bad.npz")
        page.get_by_text("bad.npz: not a whole npz file").wait_for()
        upload.set_input_files(tmp_path / "notes.txt")  # which the browser keeps to itself
        page.get_by_text("notes.txt is of no type that is taken: npz").wait_for()
        assert page.get_by_text("not a whole npz file").count() == 0
        upload.set_input_files(tmp_path / "good.npz")
        page.get_by_text("What was found in good").wait_for()
        assert page.get_by_text("of no type that is taken").count() == 0
        page.get_by_role("button", name="good yours").wait_for()
        page.keyboard.press("Escape")
        page.get_by_text("of ID and catches").first.wait_for(timeout=300_000)

        page.get_by_role("button", name="good yours").click()
        page.get_by_role("button", name="Keep on this server").first.click()
        page.get_by_text("Kept on this server until").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Copy link").click()
        page.get_by_text("Copied").wait_for()
        link = page.evaluate("navigator.clipboard.readText()")
        assert link == page.url
        assert "kept=" in link
        tomorrow = context.new_page()
        tomorrow.goto(link)
        tomorrow.get_by_role("button", name="good yours").wait_for()
        tomorrow.get_by_text("of ID and catches").first.wait_for()

        other_session = context.new_page()  # has the server's data
        other_session.goto(f"{url}/threshold_lab")
        other_session.get_by_role("button", name=SERVER_DATA).wait_for()

        page.get_by_role("button", name="good yours").click()
        page.get_by_role("button", name="Back to the server's data").click()
        page.get_by_role("button", name=SERVER_DATA).wait_for()
        assert page.locator('[data-testid="stException"]').count() == 0
