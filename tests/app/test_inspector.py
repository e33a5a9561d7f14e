"""The inspector and the Detectors page in every state, through Streamlit's AppTest."""

from __future__ import annotations

import re
import shutil
import threading
import time
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app.detectors.tables import AUROC, FPR
from app.job import Job
from app.pack import gallery
from app.pack.data import PackData
from app.pack.flips import HEATS_PRIOR
from app.pack.insight import NEIGHBOURS, RowTerms, inspect_row
from app.pack.items import LabelledItems, Selection
from app.pack.scores import ready_scores
from app.pack.threshold_state import BY_HAND
from app.pack.work import scoring_work
from app.threshold_lab.tables import nearest_pack_rows
from heat_core import explain
from heat_core.detectors.heat import HEAT
from heat_core.detectors.learned_energy import FromNoise
from heat_core.detectors.presets import FIRST_DETECTORS, PRESETS, preset_detector
from heat_core.metrics import auroc
from heat_core.pack import Pack, pack_from_arrays, write_pack
from tests.app.pages import link, offered, opened, press, restart_server, text, until, wait

CACHE: dict[str, Job] = {}


def scored(pack: Pack) -> Job:
    """Returns the finished scoring of the small pack, which is done once.

    HEAT and HEAT-GMM keep their correction, whether it helps or not.
    """
    if not CACHE:
        unchecked = {}
        for name in ("HEAT", "HEAT-GMM"):
            heat = preset_detector(name, "quick")
            assert isinstance(heat, HEAT)
            assert isinstance(heat.correction, FromNoise)
            correction = replace(heat.correction, checked=False)
            unchecked[name] = replace(heat, correction=correction)
        with patch.dict(PRESETS["features"]["quick"], unchecked):
            CACHE["job"] = Job("small", scoring_work(pack, "quick", True, names=FIRST_DETECTORS))
            CACHE["job"].run()
        assert CACHE["job"].state == "done", CACHE["job"].error
    return CACHE["job"]


def standing_in(frames, over: bool = True, result=None):
    """Returns a stand-in for the scoring's work, which reports these frames."""

    def work(job: Job):
        for frame in frames:
            job.report(0.5, frame)
        while not over:
            time.sleep(0.01)
            job.report(0.5)
        return result

    return lambda *settings, **more: work


@pytest.fixture
def pack(arrays) -> Pack:
    return pack_from_arrays(arrays, "Small")


@pytest.fixture(autouse=True)
def _one_pack(fresh_server, monkeypatch, tmp_path, pack):
    """A small pack whose scores are there at once."""
    shutil.rmtree(tmp_path / "packs", ignore_errors=True)
    write_pack(pack, tmp_path / "packs" / "small")
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path / "packs")
    job = scored(pack)
    monkeypatch.setattr("app.pack.scores.scoring_work", standing_in(job.frames, result=job.result))


def open_page(page_name: str = "detectors", until=None, **state: str) -> AppTest:
    """Opens a page, and waits until all is scored, or until `until(at)`."""
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    for key, value in state.items():
        at.query_params[key] = value
    at.run()
    at.switch_page(f"{page_name}/page.py")
    wait(opened(at), until or (lambda at: not at.get("progress")))
    return opened(at)


def drawer(at: AppTest) -> str:
    """Returns all that the drawer says, without the marks that keep text from being Markdown."""
    return "".join(str(getattr(element, "value", "")) + " " for element in at._tree[2]).replace(
        "\\", ""
    )


def tables_in(at: AppTest) -> list:
    return [
        element.value
        for element in at._tree[2]
        if isinstance(getattr(element, "value", None), pd.DataFrame)
    ]


# -- the inspector ---------------------------------------------------------------------------------


def test_an_image_is_spelled_out_term_by_term(pack):
    at = open_page(item="near_a/3")
    runs = {frame.detector: frame.run for frame in scored(pack).frames if frame.run}
    one_row = pack.ood["near", "a"].take(torch.tensor([3]))
    prior, correction = explain.term_values(runs["HEAT"], one_row)[0]
    drawer_text = drawer(at)
    total = runs["HEAT"].score(one_row)[0]
    match = re.search(r"HEAT: prior (\S+) \+ correction (\S+) = (\S+), verdict", drawer_text)
    assert match is not None
    terms = [float(value) for value in match.groups()]
    np.testing.assert_allclose(terms, [prior, correction, total], atol=0.0101)
    assert round(terms[0] + terms[1], 2) == terms[2] == round(total, 2)
    assert runs["HEAT"].score(one_row)[0] == pytest.approx(prior + correction, abs=1e-4)
    gmm_prior, _ = explain.term_values(runs["HEAT-GMM"], one_row)[0]
    assert f"E_G / T_G = {gmm_prior * 9:,.2f} / 9" in drawer_text
    mog, energy = explain.prior_part_values(runs["HEAT"], one_row)[0]
    assert f"The prior adds up MoG {mog:.2f}, Energy {energy:.2f}, on one scale" in drawer_text
    assert "Nearest class: " in drawer_text
    assert "came as features alone, without images" in drawer_text  # an npz brings none
    classes, verdicts = tables_in(at)
    assert classes["Distance"].is_monotonic_increasing
    assert verdicts["Detector"].tolist() == [
        "MSP",
        "Energy",
        "KNN",
        "SSD",
        "MoG",
        "EBM",
        "HEAT-GMM",
        "HEAT",
    ]
    for name, score, threshold, verdict in verdicts[
        ["Detector", "Score", "Threshold", "Verdict"]
    ].itertuples(index=False):
        inside = runs[name].score(pack.test)
        assert np.mean(inside <= threshold) >= 0.95
        assert verdict == ("out" if score > threshold else "in")
        assert score == pytest.approx(runs[name].score(one_row)[0], rel=1e-5)
    assert link(at)["item"] == "near_a/3"


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6))
def test_rounded_terms_add_up_to_the_rounded_total(values):
    terms = np.array(values)
    row_terms = RowTerms(
        explain.ScoreTerms(("a",) * len(terms)),
        terms,
        terms,
        explain.Verdict("HEAT", float(terms.sum()), 0.0, 0.0),
    )
    decimals = row_terms.decimals
    assert 1 <= decimals <= 2
    total = pytest.approx(round(terms.sum(), decimals), abs=1e-9)
    assert round(row_terms.rounded.sum(), decimals) == total
    assert np.abs(row_terms.rounded - terms).max() < 1.01 * 10**-decimals


def test_ranks_and_neighbours_are_those_of_counting(pack):
    frames = scored(pack).frames
    thresholds = {frame.detector: 0.0 for frame in frames if not frame.missing_reason}
    insight = inspect_row(
        pack, explain.class_mahalanobis(pack.train), frames, ("far_d", 7), thresholds
    )
    heat = next(frame for frame in frames if frame.detector == "HEAT")
    values = [*heat.term_values["far_d"][7], heat.scores["far_d"][7]]
    inside = np.column_stack([heat.term_values["test"], heat.scores["test"]])
    np.testing.assert_allclose(insight.row_terms["HEAT"].percentiles, (inside <= values).mean(0))
    z, row = (v / v.norm(dim=-1, keepdim=True) for v in (pack.train.z, pack.ood["far", "d"].z[7]))
    away = (z - row).norm(dim=1).numpy()
    np.testing.assert_allclose(insight.nearest_distances, np.sort(away)[:NEIGHBOURS], atol=1e-5)
    distances = [distance for _, distance in insight.nearest_classes]
    assert distances == sorted(distances)
    assert len(distances) == 4
    assert insight.label == ""
    assert insight.predicted is not None


@pytest.mark.parametrize("row", [0, 5, 39])
def test_a_training_image_among_its_own_copies_has_as_many_neighbours(arrays, row):
    copies = {**arrays, "train_z": arrays["train_z"].copy()}
    copies["train_z"][:40] = copies["train_z"][0]
    pack = pack_from_arrays(copies)
    insight = inspect_row(pack, explain.class_mahalanobis(pack.train), [], ("train", row), {})
    rows = insight.nearest_rows.tolist()
    assert len(set(rows)) == len(rows) == len(insight.nearest_distances) == NEIGHBOURS
    assert row not in rows
    np.testing.assert_allclose(insight.nearest_distances, 0.0, atol=1e-6)


def test_a_training_image_is_not_its_own_neighbour_and_is_scored_by_detectors_that_are_kept(pack):
    frames = scored(pack).frames
    thresholds = {frame.detector: 0.0 for frame in frames if not frame.missing_reason}
    insight = inspect_row(
        pack, explain.class_mahalanobis(pack.train), frames, ("train", 5), thresholds
    )
    assert 5 not in insight.nearest_rows
    assert len(insight.nearest_rows) == NEIGHBOURS
    runs = {frame.detector: frame.run for frame in frames if frame.run}
    one_row = pack.train.take(torch.tensor([5]))
    assert {v.detector: v.score for v in insight.verdicts} == {
        name: run.score(one_row)[0] for name, run in runs.items()
    }
    drawer_text = drawer(open_page(item="train/5"))
    assert "fitted to this image: expect them to find it ordinary" in drawer_text


def test_without_the_fitted_detectors_a_training_image_has_no_verdict(pack, monkeypatch):
    forgotten = [replace(frame, run=None) for frame in scored(pack).frames]
    monkeypatch.setattr("app.pack.scores.scoring_work", standing_in(forgotten))
    drawer_text = drawer(open_page(item="train/5"))
    assert "are not kept, so nothing scores it" in drawer_text
    assert "nearest training images" in drawer_text
    assert "expect them" not in drawer_text


def test_an_item_that_is_not_there_says_so():
    drawer_text = drawer(open_page(item="near_a/999*"))
    assert "This data holds no image near_a/999*" in drawer_text
    assert "Nearest class" not in drawer_text


def test_while_detectors_are_fitted_those_that_are_ready_speak(pack, monkeypatch):
    monkeypatch.setattr("app.pack.scores.scoring_work", standing_in((), over=False))
    at = open_page(until=lambda at: "Fitted so far: no detector" in drawer(at), item="near_a/3")
    assert "Nearest class" in drawer(at)
    restart_server()
    monkeypatch.setattr(
        "app.pack.scores.scoring_work", standing_in(scored(pack).frames[:3], over=False)
    )
    first_two = "Fitted so far: MSP, Energy."
    at = open_page(until=lambda at: first_two in drawer(at), item="near_a/3")
    assert "HEAT's prior is not ready yet" in text(at)


def test_when_the_scoring_failed_the_image_is_still_shown(monkeypatch):
    def broken(job: Job) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("app.pack.scores.scoring_work", lambda *settings, **more: broken)
    at = open_page(item="near_a/3")
    assert "out of memory" in at.error[0].value
    assert "Nearest class" in drawer(at)


def test_uploaded_data_without_a_head_is_inspected_too(pack, arrays):
    headless = pack_from_arrays(
        {name: values for name, values in arrays.items() if name not in ("weight", "bias")}, "Mine"
    )
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    at.session_state["uploaded"] = PackData("mine", headless)
    at.query_params["item"] = "far_d/2"
    at.run()
    at.switch_page("detectors/page.py")
    wait(opened(at), lambda at: "HEAT: prior" in drawer(at))
    drawer_text = drawer(at)
    assert "without the classifier's head" in drawer_text
    assert "far_d came as features alone" in drawer_text


def test_closing_takes_the_item_out_of_the_link():
    at = open_page(item="near_a/3")
    at.session_state["item"] = ""  # what closing does
    opened(at)
    assert "item" not in link(at)
    assert "Nearest class" not in drawer(at)


def test_a_detector_that_fell_back_says_so(monkeypatch, pack):
    frames = [
        replace(frame, warning="This is the MoG." if frame.detector == "HEAT" else "")
        for frame in scored(pack).frames
    ]
    monkeypatch.setattr(
        "app.pack.scores.scoring_work", standing_in(frames, result=scored(pack).result)
    )
    (notes,) = (info.value for info in open_page().info if "MoG" in info.value)
    assert notes.split("\n\n")[1:] == ["HEAT\\: This is the MoG."]


# -- flips -----------------------------------------------------------------------------------------


def wanted_flips(pack: Pack, accepts: str, rejects: str, keep: float) -> dict[str, set[int]]:
    scores = {frame.detector: frame.scores for frame in scored(pack).frames}
    heat = next(frame for frame in scored(pack).frames if frame.detector == "HEAT")
    scores[HEATS_PRIOR] = {name: values[:, 0] for name, values in heat.term_values.items()}
    thresholds = {
        name: np.sort(scores[name]["test"])[int(np.ceil(keep * 60)) - 1]
        for name in (accepts, rejects)
    }
    out = {name: {n: s > thresholds[name] for n, s in scores[name].items()} for name in thresholds}
    return {
        n: set(np.flatnonzero(~out[accepts][n] & out[rejects][n]).tolist()) for n in out[accepts]
    }


@pytest.mark.parametrize(
    ("accepts", "rejects"),
    [(HEATS_PRIOR, "HEAT"), ("HEAT", HEATS_PRIOR), ("MoG", "HEAT-GMM"), ("MSP", "KNN")],
)
def test_flips_are_counted_and_become_the_selection(pack, accepts, rejects):
    at = open_page(accepts=accepts, rejects=rejects, keep="80")
    wanted = wanted_flips(pack, accepts, rejects, 0.8)
    outside = sum(len(rows) for name, rows in wanted.items() if name != "test")
    heading = next(header.value for header in at.subheader if "accepts and" in header.value)
    assert f"{accepts} accepts and {rejects} rejects {outside} of 150 OOD images" in heading
    assert f"and {len(wanted['test'])} of 60 ID images" in heading
    many = outside + len(wanted["test"])
    assert many > 0
    press(at, f"Select these {many}")
    selection = at.session_state["selection"]
    assert {source: set(rows.tolist()) for source, rows in selection.items.items()} == {
        n: r for n, r in wanted.items() if r
    }
    assert any(
        button.label == f"{accepts} accepts, {rejects} rejects: {many}" for button in at.button
    )
    corrected = "HEAT-GMM" if rejects == "HEAT-GMM" else "HEAT"
    assert (f"Sorted by how far {corrected}'s correction" in text(at)) == (rejects != "KNN")


def test_flips_can_be_turned_round_and_keep_to_the_selection(pack):
    at = open_page(accepts="MSP", rejects="KNN", keep="80")
    press(at, "Turn round")
    wanted = wanted_flips(pack, "KNN", "MSP", 0.8)
    assert any("KNN accepts and MSP rejects" in header.value for header in at.subheader)
    some = sorted(wanted["far_d"] | wanted["test"])[:1]
    at.session_state["selection"] = Selection().with_part(
        LabelledItems("map", "A lasso", {"test": np.array([0, 1, *some])})
    )
    opened(at)
    flipped = wanted["test"] & {0, 1, *some}
    assert any(
        f"{len(flipped)} of {len({0, 1, *some})} ID images" in header.value
        for header in at.subheader
    )


def test_flips_within_another_selection_begin_at_their_first_page(pack, monkeypatch):
    monkeypatch.setattr("app.pack.controls.GALLERY_SIZE", 2)
    at = open_page(accepts="MSP", rejects="KNN", keep="80")
    flipped = sorted(wanted_flips(pack, "MSP", "KNN", 0.8)["far_d"])[:5]
    assert len(flipped) == 5

    def select(rows: list[int]) -> None:
        part = LabelledItems("map", "A lasso", {"far_d": np.array(rows)})
        at.session_state["selection"] = Selection((part,))
        opened(at)

    select(flipped[:4])
    at.session_state["flips"] = 2
    opened(at)
    select(flipped[:4])
    assert at.session_state["flips"] == 2
    select(flipped[1:])
    assert at.session_state["flips"] == 1


def test_one_set_of_the_flips_is_picked(pack):
    at = open_page(accepts="MSP", rejects="KNN", keep="80")
    at.session_state["flipped-sets"] = ["far_d"]
    opened(at)
    many = len(wanted_flips(pack, "MSP", "KNN", 0.8)["far_d"])
    press(at, f"Select these {many}")
    assert set(at.session_state["selection"].items) == {"far_d"}


def test_what_has_images_comes_first_unless_that_is_not_wanted(pack, monkeypatch):
    galleries: list = []
    monkeypatch.setattr(
        gallery,
        "tiles",
        lambda shown_tiles, *settings: galleries.append(
            [tile.item.split("/")[0] for tile in shown_tiles]
        ),
    )
    wanted = {
        name: len(rows) for name, rows in wanted_flips(pack, "MSP", "KNN", 0.8).items() if rows
    }
    few = min(wanted, key=wanted.__getitem__)
    monkeypatch.setattr("app.pack.gallery.has_images", lambda pack_data, name: name == few)
    at = open_page(accepts="MSP", rejects="KNN", keep="80")
    with_images, bare = wanted[few], sum(wanted.values()) - wanted[few]
    assert 0 < with_images < 24
    assert bare > 0
    assert galleries[-1][:with_images] == [few] * with_images
    assert few not in galleries[-1][with_images:]
    page_text = text(at).replace("\\", "")
    assert f"{bare} come after them: there are no images at hand of" in page_text
    at.toggle(key="pictured").set_value(False)
    opened(at)
    assert galleries[-1][:with_images] != [few] * with_images
    monkeypatch.setattr(
        "app.pack.gallery.has_images", lambda pack_data, name: False
    )  # then there is nothing to choose
    opened(at)
    assert not [toggle for toggle in at.toggle if toggle.key == "pictured"]


def test_a_tile_without_an_image_names_the_class_also_where_its_id_has_the_same_digits(
    arrays: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = np.array([f"img-{label}" for label in arrays["test_y"]])
    pack_data = PackData("ours", pack_from_arrays({**arrays, "test_z__meta_id": ids}))
    shown: list = []
    monkeypatch.setattr(gallery, "tiles", lambda tiles, *settings: shown.extend(tiles))
    monkeypatch.setattr(gallery, "images_of", lambda *rows: ([None], []))
    gallery.show_tiles(pack_data, [("test", 10)], [("test", "+0.1")], "any")
    label = arrays["test_y"][10]
    assert shown[0].lines == (f"test img-{label}", f"{label}", "+0.1")


def test_a_link_that_asks_for_composed_goes_on_and_says_that_it_is_not_offered():
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    at.query_params["accepts"] = at.query_params["drawn"] = "Composed"
    at.run()
    at.switch_page("detectors/page.py")
    wait(opened(at), lambda at: at.warning)  # it is said once: the link has what is shown by then
    messages = {warning.value for warning in at.warning}
    assert messages == {
        "The link asks for the detector Composed, which is not offered here; another is shown."
    }
    assert any(f"{HEATS_PRIOR} accepts and HEAT rejects" in header.value for header in at.subheader)


def test_the_table_says_which_parts_heats_prior_goes_without():
    assert (
        "HEAT's prior is MoG and Energy: there is no std-pooled view and no score of an earlier "
        "layer."
    ) in text(open_page()).replace("\\", "")


def test_a_detector_never_parts_with_itself_and_the_page_says_so():
    at = open_page(accepts="KNN", rejects="KNN")
    assert "KNN does not part from itself" in text(at)


def test_a_detector_that_is_absent_says_why():
    at = open_page(accepts="ODIN", rejects="HEAT")
    assert "ODIN needs a score made at extraction" in text(at)


# -- the Detectors page ----------------------------------------------------------------------------


def test_scores_between_two_percentiles_become_the_selection(pack):
    at = open_page()
    at.selectbox(key="range-of").set_value("HEAT")
    at.number_input(key="range-from").set_value(90.0)
    next(button for button in at.button if button.label == "Select").click()
    opened(at)
    scores = next(frame.scores for frame in scored(pack).frames if frame.detector == "HEAT")
    wanted = {
        n: np.flatnonzero([np.mean(scores["test"] <= v) >= 0.9 for v in s])
        for n, s in scores.items()
    }
    items = at.session_state["selection"].items
    assert {n: rows.tolist() for n, rows in items.items()} == {
        n: rows.tolist() for n, rows in wanted.items() if len(rows)
    }


def test_a_selection_has_figures_of_its_own(pack):
    at = open_page()
    items = {"far_d": np.arange(20), "near_a": np.arange(5), "test": np.arange(7)}
    at.session_state["selection"] = Selection().with_part(LabelledItems("map", "A lasso", items))
    opened(at)
    scores = {
        frame.detector: frame.scores for frame in scored(pack).frames if not frame.missing_reason
    }
    passed = {
        name: np.mean(np.concatenate([s["far_d"][:20], s["near_a"][:5]]) <= np.sort(s["test"])[56])
        for name, s in scores.items()
    }
    table = next(
        frame.value for frame in at.dataframe if list(frame.value.columns)[1:] == [FPR, AUROC, "±"]
    )
    assert dict(zip(table["Detector"], table[FPR] / 100, strict=True)) == pytest.approx(passed)
    assert table["Detector"][0] == min(passed, key=passed.__getitem__)
    assert any("Of the 25 OOD images selected" in header.value for header in at.subheader)
    assert "25 of the 32 selected are OOD" in text(at)
    at.session_state["selection"] = Selection().with_part(
        LabelledItems("map", "A lasso", {"far_d": np.arange(3)})
    )
    opened(at)
    assert any("Of the 3 selected, 3 are OOD: too few" in info.value for info in at.info)
    press(at, "Clear the selection")
    assert not [header for header in at.subheader if "OOD images selected" in header.value]


def test_the_table_says_what_is_more_than_chance(pack):
    at = open_page()
    drawn, table = scored(pack).result, at.dataframe[1].value
    best, same = drawn.best("average", "fpr95")
    assert table["So it is"].tolist().count("the best") == 1
    assert table.set_index("Detector")["So it is"][best] == "the best"
    assert set(table["Detector"][table["So it is"] == "not significantly different"]) == set(same)
    for name, between in drawn.intervals(best)["average"][0].__dict__.items():
        assert f"{100 * between:.1f}" in table.set_index("Detector")["FPR95 %"][best], name
    heading = at.subheader[0].value
    assert heading.startswith((f"{best} (", f"{best} and "))
    tied = heading.partition(" (")[0]
    assert ("Not significantly different" in heading) == any(name not in tied for name in same)


def test_best_and_its_equals_are_told_by_the_paired_interval(pack):
    drawn = scored(pack).result
    for group in drawn.groups:
        for place, figure in enumerate(("fpr95", "auroc")):
            best, same = drawn.best(group, figure)
            values = {
                name: drawn.intervals(name)[group][place].observed for name in drawn.detectors
            }
            assert values[best] == (min if figure == "fpr95" else max)(values.values())
            for name in set(drawn.detectors) - {best}:
                apart = drawn.differences(name, best)[group][place]
                assert (name in same) == (apart.low <= 0 <= apart.high)


def test_curves_are_of_the_detectors_and_the_group_that_are_picked(pack):
    at = open_page(drawn="HEAT", rocgroup="far")
    table = next(frame.value for frame in at.dataframe if "OOD caught %" in frame.value.columns)
    scores = next(frame.scores for frame in scored(pack).frames if frame.detector == "HEAT")
    assert table["Detector"].tolist() == ["HEAT"]
    threshold = np.sort(scores["test"])[56]
    assert table["OOD caught %"][0] == round(100 * np.mean(scores["far_d"] > threshold), 1)
    assert any(
        "HEAT has the largest area under its curve" in header.value for header in at.subheader
    )


def test_curves_are_of_what_is_selected_alone(pack):
    at = open_page(drawn="HEAT")
    items = {"far_d": np.arange(20), "near_a": np.arange(5), "test": np.arange(7)}
    at.session_state["selection"] = Selection().with_part(LabelledItems("map", "A lasso", items))
    opened(at)
    scores = next(frame.scores for frame in scored(pack).frames if frame.detector == "HEAT")
    selected = np.concatenate([scores["far_d"][:20], scores["near_a"][:5]])
    table = next(frame.value for frame in at.dataframe if "OOD caught %" in frame.value.columns)
    assert table["OOD caught %"][0] == round(
        100 * np.mean(selected > np.sort(scores["test"])[56]), 1
    )
    assert table["AUROC %"][0] == round(100 * auroc(scores["test"], selected), 1)
    assert any(
        "its curve" in header.value and "on the 25 OOD images selected" in header.value
        for header in at.subheader
    )
    at.segmented_control(key="rocgroup").set_value("far")
    opened(at)
    table = next(frame.value for frame in at.dataframe if "OOD caught %" in frame.value.columns)
    assert table["OOD caught %"][0] == round(
        100 * np.mean(scores["far_d"][:20] > np.sort(scores["test"])[56]), 1
    )
    at.segmented_control(key="rocgroup").set_value("near")
    opened(at)
    table = next(frame.value for frame in at.dataframe if "OOD caught %" in frame.value.columns)
    threshold = np.sort(scores["test"])[56]  # five near images are too few: these are all
    assert table["OOD caught %"][0] == round(
        100 * np.mean([np.mean(scores[name] > threshold) for name in scores if "near" in name]), 1
    )
    assert any(
        "its curve" in header.value and "on near OOD" in header.value for header in at.subheader
    )


# -- the images at the line ------------------------------------------------------------------------


def test_the_images_at_the_line_become_the_selection_and_the_line_is_the_threshold(pack):
    at = open_page("threshold_lab", objective=BY_HAND, cut="1.0", item="near_a/3", around="12")
    scores = next(frame.scores for frame in scored(pack).frames if frame.detector == "HEAT")
    press(at, "Select these 12")
    distances = {(n, i): abs(v - 1.0) for n, s in scores.items() for i, v in enumerate(s)}
    wanted = {f"{n}/{i}" for n, i in sorted(distances, key=distances.__getitem__)[:12]}
    items = at.session_state["selection"].items
    assert {f"{source}/{row}" for source, rows in items.items() for row in rows} == wanted
    other_page = open_page(
        "threshold_lab", picked=link(opened(at))["picked"]
    )  # whoever gets the link sees the same
    assert {
        s: rows.tolist() for s, rows in other_page.session_state["selection"].items.items()
    } == {s: rows.tolist() for s, rows in items.items()}
    assert "Clear the selection" in offered(other_page)
    _, verdicts = tables_in(at)
    assert verdicts.set_index("Detector")["Threshold"]["HEAT"] == 1.0
    assert (
        "HEAT's threshold is the line; others have theirs where they keep the same share of ID"
        in drawer(at)
    )
    assert "near_a/3" in drawer(at)
    assert "`near_a/3`" not in drawer(at)  # an escape would show within code


def test_the_gallery_at_the_line_keeps_to_the_selection():
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    at.session_state["selection"] = Selection().with_part(
        LabelledItems("map", "A lasso", {"far_d": np.arange(4)})
    )
    at.run()
    at.switch_page("threshold_lab/page.py")
    opened(at)
    assert "Select these 4" in [button.label for button in at.button]


def test_the_closest_scores_are_found_on_both_sides():
    scores = {"test": np.array([0.0, 1.0, 2.0]), "near_a": np.array([1.1, 5.0])}
    assert nearest_pack_rows(scores, 1.05, 2) == [("test", 1), ("near_a", 0)]
    assert nearest_pack_rows(scores, 1.05, 9) == [
        ("test", 0),
        ("test", 1),
        ("near_a", 0),
        ("test", 2),
        ("near_a", 1),
    ]
    assert nearest_pack_rows(scores, 1.05, 9, {"near_a": np.array([False, True])}) == [
        ("near_a", 1)
    ]
    assert nearest_pack_rows(scores, 1.05, 9, {}) == []


def test_detectors_that_become_ready_while_the_page_runs_break_no_table(pack, monkeypatch):
    """The bootstrap that ends the job holds more detectors than the page had read by then."""
    first, *others = scored(pack).frames
    go_on = threading.Event()

    def work(job: Job):
        job.report(0.1, first)
        go_on.wait(20)
        for frame in others:
            job.report(0.9, frame)
        return scored(pack).result

    def read_and_let_it_end(job):
        ready = ready_scores(job)
        if len(ready[0]) == 1:
            go_on.set()
            until(lambda: job.over)
        return ready

    monkeypatch.setattr("app.pack.scores.scoring_work", lambda *settings, **more: work)
    monkeypatch.setattr("app.pack.scores.ready_scores", read_and_let_it_end)
    at = open_page()
    assert go_on.is_set()
    assert "HEAT" in at.dataframe[0].value.index
