"""A setting chosen on ID data alone: what a curve says, and the panel on the Detectors page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.detectors.setting_curve import SettingCurve, curve_figure, tunable_detectors
from heat_core.model_selection import criterion
from heat_core.pack import Pack, pack_from_arrays, write_pack
from tests.app.pages import app, opened, press, wait


def with_families(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays of a pack with held-out ID rows, and families made of them."""
    random = np.random.default_rng(0)
    held_out = arrays["test_z"][:40]
    families = {
        f"{kind}_{name}": held_out + random.normal(0, spread, held_out.shape).astype(np.float32)
        for kind in ("pseudo", "pseudoval")
        for spread, name in enumerate(("blur", "noise", "warp", "zoom"), 1)
    }
    return {**arrays, "val_z": held_out, "val_y": arrays["test_y"][:40], **families}


def test_the_best_value_is_filled_and_the_presets_has_a_ring() -> None:
    curve = SettingCurve("KNN", "k", {1: 0.8, 10: 0.9, 100: 0.85}, 100)
    figure: Any = curve_figure(curve)
    line, best, preset = figure.data
    np.testing.assert_allclose(line.y, [80, 90, 85])
    assert (best.x, best.y, preset.x, preset.y) == ((10,), (90.0,), (100,), (85.0,))
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.ticktext == ("1", "10", "100")


def test_a_value_of_nought_is_on_an_even_axis_and_a_chosen_one_has_no_ring() -> None:
    figure: Any = curve_figure(SettingCurve("Radial", "beta", {0.0: 0.8, 2.0: 0.7}, None))
    assert figure.layout.xaxis.type == "linear"
    assert [trace.name for trace in figure.data[1:]] == ["best"]


def test_what_the_data_does_not_allow_has_no_setting(arrays: dict) -> None:
    without_head = {
        key: array for key, array in with_families(arrays).items() if key not in ("weight", "bias")
    }
    assert set(tunable_detectors(pack_from_arrays(without_head), ("KNN", "NCI"))) == {"KNN"}


@pytest.fixture
def small_pack(fresh_server, monkeypatch, tmp_path: Path, arrays) -> Pack:
    pack = pack_from_arrays(with_families(arrays))
    write_pack(pack, tmp_path / "small")
    monkeypatch.setattr("app.server.warm_up", lambda: None)
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
    monkeypatch.setattr("app.pack.scores.scoring_work", lambda *given, **more: scored)
    return pack


def scored(job) -> None:
    """Stands in for scoring: nothing is waited for."""
    from app.pack.work import DetectorScores

    random = np.random.default_rng(0)
    sizes = {"test": 60, "near_a": 40, "near_b": 30, "mid_c": 30, "far_d": 50}
    job.report(1.0, DetectorScores("MoG", {n: random.normal(size=s) for n, s in sizes.items()}))


def test_the_panel_compares_the_values_of_k_by_the_criterion(small_pack: Pack) -> None:
    at = opened(app().switch_page("detectors/page.py"))
    at.session_state["setting-panel"] = True
    opened(at)
    at.selectbox(key="setting-of").set_value("KNN")
    opened(at)
    press(at, "Compare its values")
    wait(at, lambda at: any("is best on ID data alone" in text.value for text in at.markdown))
    setting = tunable_detectors(small_pack, ("KNN",))["KNN"]
    criteria = {
        k: criterion(setting.with_value(k), small_pack.train, small_pack.extra)
        for k in setting.values
    }
    best = max(criteria, key=criteria.__getitem__)
    (finding,) = (t.value for t in at.markdown if "is best on ID data alone" in t.value)
    assert f"KNN: k = {best} is best on ID data alone, {100 * criteria[best]:.1f} %" in finding
