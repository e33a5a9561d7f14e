"""The Threshold lab in every state, through Streamlit's AppTest; what its browser part gets."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app import figures
from app.components import threshold_line as component
from app.job import Job
from app.pack.data import PackData, current_pack_data
from app.pack.items import LabelledItems, Selection, item_id
from app.pack.tables import style_digits, unique_titles
from app.pack.threshold_state import BY_HAND
from app.pack.work import DetectorScores
from app.text import number_text
from app.threshold_lab.controls import RULES_BY_TITLE
from app.threshold_lab.same_share import same_share_thresholds
from app.threshold_lab.tables import (
    line_interval,
    margin_texts,
    nearest_pack_rows,
    nearest_table,
    what_is_promised,
)
from heat_core.diagnostics import Diagnosis
from heat_core.features import Features
from heat_core.pack import Pack, pack_from_arrays, write_pack
from heat_core.results.score_axis import SCORE_UNITS, SYMLOG_NOTE
from heat_core.scores import SetScores
from heat_core.thresholds import (
    Conformal,
    Deployment,
    KeepShare,
    KeepWithConfidence,
    MinExpectedCost,
    PerClassConformal,
    PrecisionAtLeast,
    RecallAtLeast,
    Youden,
    evaluate,
    sweep,
)

SIZES = {"val": 300, "test": 400, "near_a": 40, "near_b": 30, "mid_c": 30, "far_d": 50}


def set_scores(shift: float, val: bool = False) -> dict[str, np.ndarray]:
    """Returns scores of every set; OOD lies `shift` and more above ID."""
    random = np.random.default_rng(3)
    distances = {"near": 1.0, "mid": 1.5, "far": 2.5}
    scores = {}
    for name, size in SIZES.items():
        if name == "val" and not val:
            continue
        mean = shift * distances.get(name.split("_")[0], 0.0)
        scores[name] = random.normal(mean, 1, size)
    return scores


def grouped(scores: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Returns {group: {set: scores}} of the OOD sets."""
    return {
        "near": {"a": scores["near_a"], "b": scores["near_b"]},
        "mid": {"c": scores["mid_c"]},
        "far": {"d": scores["far_d"]},
    }


def scoring(*frames: DetectorScores, over: bool = True):
    """Returns a stand-in for the scoring job: it reports these frames, and ends or goes on."""

    def work(job: Job) -> None:
        for frame in frames:
            job.report(0.5, frame)
        while not over:
            time.sleep(0.01)
            job.report(0.5)

    return lambda *settings, **more: work


BOTH = (
    DetectorScores("HEAT", set_scores(1.5)),
    DetectorScores("MoG", set_scores(1.0)),
    DetectorScores("MSP", {}, "MSP needs the classifier's head."),
)


@pytest.fixture(autouse=True)
def _one_pack(fresh_server, monkeypatch, tmp_path, arrays):
    """A small pack, and scores that are there at once."""
    write(arrays, tmp_path / "packs" / "small")
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path / "packs")
    monkeypatch.setattr("app.pack.scores.scoring_work", scoring(*BOTH))


def write(arrays: dict, path) -> None:
    tests = np.tile(arrays["test_z"], (7, 1))[: SIZES["test"]]
    shutil.rmtree(path, ignore_errors=True)
    write_pack(
        pack_from_arrays(
            {**arrays, "test_z": tests, "test_y": np.tile(arrays["test_y"], 7)[: SIZES["test"]]},
            "Small",
        ),
        path,
    )


def open_lab(**link: str) -> AppTest:
    """Opens the Threshold lab at a link with these query parameters."""
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    for key, value in link.items():
        at.query_params[key] = value
    at.run()
    at.switch_page("threshold_lab/page.py")
    for _ in range(100):
        run(at)
        if at.subheader or at.error:
            return at
        time.sleep(0.05)
    return at


def run(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception
    return at


def text(at: AppTest) -> str:
    return " ".join(str(getattr(element, "value", "")) for element in at.main)


def outcomes(at: AppTest):
    """Returns the table of what the thresholds do."""
    return at.dataframe[0].value


def test_it_opens_on_the_threshold_that_keeps_95_percent():
    at = open_lab()
    scores = set_scores(1.5)
    cut = at.number_input(key="cut").value
    assert np.mean(scores["test"] <= cut) == 0.95
    assert "HEAT keeps 95.0\u00a0% of ID" in at.subheader[0].value
    assert "same 400 ID test scores" in text(at)
    caught = np.mean([np.mean(scores[name] > cut) for name in ("near_a", "near_b")])
    assert outcomes(at)["HEAT"]["near OOD caught"] == f"{100 * caught:.1f} %"


def test_a_line_set_by_hand_is_kept_in_the_link_and_reproduced():
    at = open_lab(scorer="MoG", objective=BY_HAND, cut="0.5")
    kept = np.mean(set_scores(1.0)["test"] <= 0.5)
    assert outcomes(at)["MoG"]["ID kept"] == f"{100 * kept:.1f} %"
    at.number_input(key="cut").set_value(1.25)
    run(at)
    assert at.number_input(key="cut").value == 1.25
    assert outcomes(at)["MoG"]["the line is at"] == "1.25"


def test_a_link_that_asks_for_what_is_not_offered_says_so_and_shows_another():
    at = open_lab(scorer="GAN", objective="Least *worry*", against="MoG")
    assert [said.value.split(",")[0] for said in at.warning] == [
        "The link asks for the detector GAN",
        r"The link asks for the rule Least \*worry\*",
    ]
    assert "HEAT keeps 95.0\u00a0% of ID" in at.subheader[0].value
    assert not open_lab(scorer="MoG", objective=BY_HAND).warning


def test_no_hand_is_named_where_none_has_moved_the_line():
    at = open_lab(objective=BY_HAND)
    assert "HEAT keeps 95.0\u00a0% of ID" in at.subheader[0].value
    assert "You put the line here" not in text(at)
    assert "same 400 ID test scores" in text(at)


def test_typing_a_threshold_takes_the_line_from_the_rule_and_a_rule_takes_it_back():
    at = open_lab(keep="90")
    assert "keeps 90.0" in at.subheader[0].value
    at.number_input(key="cut").set_value(0.0)
    run(at)
    assert at.selectbox(key="objective").value == BY_HAND
    assert "You put the line here" in text(at)
    at.selectbox(key="objective").set_value(
        "Youden" if "Youden" in RULES_BY_TITLE else list(RULES_BY_TITLE)[2]
    )
    run(at)
    assert at.number_input(key="cut").value != 0.0


def test_letting_go_of_the_line_moves_every_number():
    at = open_lab()
    at.session_state["cut"] = 0.25  # as `set_by_hand` does
    at.session_state["objective"] = BY_HAND
    run(at)
    kept = np.mean(set_scores(1.5)["test"] <= 0.25)
    assert f"{100 * kept:.1f}" in at.subheader[0].value
    assert outcomes(at)["HEAT"]["ID kept"] == f"{100 * kept:.1f} %"
    items = at.dataframe[2].value
    assert items["Score"].is_monotonic_increasing
    assert (items["Score"] - 0.25).abs().max() < 0.1


def test_another_detector_takes_over_the_share_of_id_that_a_hand_kept():
    at = open_lab(objective=BY_HAND, cut="1.0")
    kept = round(100 * np.mean(set_scores(1.5)["test"] <= 1.0), 1)
    at.selectbox(key="scorer").set_value("MoG")
    run(at)
    assert at.number_input(key="keep").value == kept
    assert np.mean(set_scores(1.0)["test"] <= at.number_input(key="cut").value) >= kept / 100


@pytest.mark.parametrize(
    "title", [title for title in RULES_BY_TITLE if title not in (PerClassConformal.title, BY_HAND)]
)
def test_every_rule_puts_the_line_where_it_says(title):
    at = open_lab(objective=title, prevalence="50")
    scores = set_scores(1.5)
    groups = grouped(scores)
    deployment = Deployment(0.5)
    rule = RULES_BY_TITLE[title]
    settings = {
        "none": [],
        "keep": [0.95],
        "keep_with_confidence": [0.95, 0.95],
        "flag": [0.1, deployment],
        "deployment": [deployment],
        "least": [0.8, 0.95],
        "precision": [0.8, deployment, 0.95],
    }[rule.widget]
    exact = rule(*settings).fit(scores["test"], groups).threshold
    wanted = evaluate(exact, scores["test"], groups)
    outcome = evaluate(at.number_input(key="cut").value, scores["test"], groups)
    assert (outcome.kept, outcome.caught) == pytest.approx((wanted.kept, wanted.caught))
    assert ("promises nothing about others" in text(at)) == rule.needs_ood


def test_costs_and_prevalence_decide_the_cheapest_line():
    at = open_lab(objective=MinExpectedCost.title, prevalence="50", miss="100")
    scores = set_scores(1.5)
    least = sweep(scores["test"], grouped(scores)).cost(Deployment(0.5, 100, 1)).min()
    assert outcomes(at)["HEAT"]["expected cost of 1000 inputs"] == f"{least:,.1f}"


def test_two_detectors_are_compared_by_the_same_rule():
    at = open_lab(against="MoG")
    table = outcomes(at)
    assert list(table.columns) == ["HEAT", "MoG"]
    assert table.loc["ID kept"].tolist() == ["95.0 %", "95.0 %"]
    assert "The other says" in at.dataframe[2].value


@pytest.mark.parametrize("compared", ["", "MoG"])
@pytest.mark.parametrize("rule", [RecallAtLeast, PrecisionAtLeast])
def test_a_detector_whose_scores_refuse_the_rule_is_left_out_with_the_reason(
    monkeypatch, rule, compared
):
    inverted = DetectorScores("MoG", set_scores(-2.0))
    monkeypatch.setattr("app.pack.scores.scoring_work", scoring(BOTH[0], inverted))
    at = open_lab(
        objective=rule.title, prevalence="50", least="80", against=compared, item="test/3"
    )
    assert list(outcomes(at)) == ["HEAT"]
    verdicts = next(table.value for table in at.dataframe if "Verdict" in table.value)
    assert verdicts["Detector"].tolist() == ["HEAT"]
    reasons = [entry.value for entry in (*at.warning, *at.caption) if "is left out" in entry.value]
    assert len(reasons) == (2 if compared else 1)
    assert all(reason.startswith("MoG is left out: No threshold ") for reason in reasons)


def test_without_ood_sets_it_says_only_what_becomes_of_id():
    at = open_lab()
    at.multiselect(key="sets").set_value([])
    run(at)
    assert "No OOD set counts" in text(at)
    assert "catches" not in at.subheader[0].value
    at.selectbox(key="objective").set_value(MinExpectedCost.title)
    run(at)
    assert "needs OOD scores, got none" in at.warning[0].value
    assert "keeps 95.0" in at.subheader[0].value


def test_a_guarantee_that_these_data_cannot_give_is_refused_in_a_line():
    at = open_lab(objective="Keep at least a share of ID (conformal)", keep="99.9")
    assert "takes 999 calibration scores, got 400" in at.warning[0].value


def test_every_class_gets_a_threshold_of_its_own(arrays):
    at = open_lab(objective=PerClassConformal.title, keep="80", against="MoG")
    assert "one line at 0 stands for all" in text(at)
    table, pack_data = at.dataframe[2].value, current_pack_data()
    assert isinstance(pack_data, PackData)
    taken, by_set = pack_data.assigned_classes, set_scores(1.5)
    logits = pack_data.pack.test.z.numpy() @ arrays["weight"].T + arrays["bias"]
    assert taken["test"].tolist() == logits.argmax(1).tolist()
    thresholds = {
        label: Conformal(0.8).fit(by_set["test"][taken["test"] == label]).threshold
        for label in np.unique(taken["test"])
    }
    assert table["Threshold"].tolist() == [number_text(value) for value in thresholds.values()]
    assert table["Calibration scores"].sum() == SIZES["test"]
    out = {
        name: values > np.array([thresholds[label] for label in taken[name]])
        for name, values in by_set.items()
    }
    assert outcomes(at)["HEAT"]["ID kept"] == f"{100 * (1 - out['test'].mean()):.1f} %"
    assert outcomes(at)["HEAT"]["far OOD caught"] == f"{100 * out['far_d'].mean():.1f} %"
    assert list(outcomes(at)) == ["HEAT", "MoG"]
    (nearest,) = [each.value for each in at.dataframe if "Above the line" in each.value]
    assert "Score" not in nearest  # a margin is no score
    assert not any(entry.key == "cut" for entry in at.number_input)  # there is no one line to type
    at.selectbox(key="objective").set_value(BY_HAND)
    run(at)
    assert np.mean(by_set["test"] <= 0) < 0.9  # a line at 0 was no line of the raw scores
    assert "keeps 95.0" in at.subheader[0].value


def test_a_class_with_too_few_scores_is_refused_in_a_line():
    at = open_lab(objective=PerClassConformal.title, keep="99.9")
    assert "takes 999 calibration scores a class, got" in at.warning[0].value
    assert "keeps 95.0" in at.subheader[0].value


def test_an_image_is_judged_by_the_threshold_of_the_class_it_is_taken_for():
    at = open_lab(objective=PerClassConformal.title, keep="80", item="test/3")
    pack_data = current_pack_data()
    assert isinstance(pack_data, PackData)
    taken = pack_data.assigned_classes["test"]
    own = Conformal(0.8).fit(set_scores(1.5)["test"][taken == taken[3]]).threshold
    shown = next(
        table.value
        for table in at.dataframe
        if "Threshold" in table.value and "Detector" in table.value
    )
    assert shown.set_index("Detector")["Threshold"]["HEAT"] == pytest.approx(own)
    assert any("that are taken for" in entry.value for entry in at.caption)


def test_without_a_head_images_are_judged_by_the_threshold_of_the_nearest_class(arrays, tmp_path):
    bare = {name: values for name, values in arrays.items() if name not in ("weight", "bias")}
    write(bare, tmp_path / "packs" / "small")
    at = open_lab(objective=PerClassConformal.title, keep="80", item="test/3")
    pack_data = current_pack_data()
    assert isinstance(pack_data, PackData)
    nearest = pack_data.pack.class_name(int(pack_data.assigned_classes["test"][3]))
    said = " ".join(entry.value for entry in (*at.markdown, *at.caption))
    assert "one for each class that an image is nearest to" in said
    assert f"for images that are nearest to {nearest}." in said
    assert f"Nearest class: {nearest}, " in said
    assert "taken for" not in said
    assert any("Nearest to" in table.value for table in at.dataframe)


def test_held_out_id_chooses_the_line(monkeypatch):
    scores = set_scores(1.5, val=True)
    monkeypatch.setattr("app.pack.scores.scoring_work", scoring(DetectorScores("HEAT", scores)))
    at = open_lab()
    assert np.mean(scores["val"] <= at.number_input(key="cut").value) == 0.95
    assert "Chosen on 300 calibration scores, of held-out ID" in text(at)
    assert (
        outcomes(at)["HEAT"]["ID kept"]
        == f"{100 * evaluate(at.number_input(key='cut').value, scores['test'], {}).kept:.1f} %"
    )


def test_while_its_detector_is_fitted_it_says_so_and_keeps_the_place(monkeypatch):
    monkeypatch.setattr("app.pack.scores.scoring_work", scoring(BOTH[1], over=False))
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    at.run()
    run(at.switch_page("threshold_lab/page.py"))
    assert "HEAT among them" in text(at) or any("HEAT among them" in str(e.proto) for e in at.main)
    assert not at.subheader
    assert "keeps" in open_lab(scorer="MoG").subheader[0].value  # what is ready is shown


def test_a_detector_that_is_absent_says_why():
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    at.query_params["scorer"] = "MSP"
    at.run()
    run(at.switch_page("threshold_lab/page.py"))
    time.sleep(0.2)
    run(at)
    assert "MSP needs the classifier's head" in at.info[0].value


def test_a_failure_is_one_line(monkeypatch):
    def broken(job: Job) -> None:
        raise RuntimeError("out of *memory*")

    monkeypatch.setattr("app.pack.scores.scoring_work", lambda *settings, **more: broken)
    assert open_lab().error[0].value == r"out of \*memory\*"


def test_without_data_it_says_how_to_get_some(monkeypatch, tmp_path):
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path / "none")
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    at.run()
    run(at.switch_page("threshold_lab/page.py"))
    assert "There are no features yet" in at.info[0].value


def test_a_pack_that_cannot_be_read_is_one_line(tmp_path):
    test = tmp_path / "packs" / "small" / "test.safetensors"
    test.write_bytes(test.read_bytes()[:-50])
    assert "test.safetensors" in open_lab().error[0].value


def test_uploaded_data_bring_their_own_sets_and_end_a_line_set_by_hand(monkeypatch, arrays):
    at = open_lab(objective=BY_HAND, cut="1.0")
    own = {
        **{k: v for k, v in arrays.items() if not k.startswith(("mid", "far", "near"))},
        "far_my set": arrays["far_d"],
    }
    scores = {"test": set_scores(1.5)["test"][:60], "far_my set": set_scores(1.5)["far_d"]}
    monkeypatch.setattr("app.pack.scores.scoring_work", scoring(DetectorScores("HEAT", scores)))
    at.session_state["uploaded"] = PackData("mine", pack_from_arrays(own))
    for _ in range(100):
        run(at)
        if at.subheader:
            break
        time.sleep(0.05)
    assert at.multiselect(key="sets").value == ["far_my set"]
    assert at.selectbox(key="objective").value == KeepShare.title
    assert "far OOD caught" in outcomes(at).index
    assert "near OOD caught" not in outcomes(at).index


# -- what the browser is fed -----------------------------------------------------------------------


@pytest.mark.parametrize("unit", SCORE_UNITS)
@pytest.mark.parametrize("scale", [1.0, 1e-4, 3e5])
def test_what_the_browser_counts_is_exact_at_every_place_of_the_line(unit, scale):
    scores = {name: scale * values for name, values in set_scores(1.5).items()}
    groups = {"near": {"a": scores["near_a"], "b": scores["near_b"]}, "far": {"d": scores["far_d"]}}
    data = component.binned(
        scores["test"],
        groups,
        0.3 * scale,
        Deployment(),
        figures.GROUP_COLOURS,
        unit=unit,
    )
    assert [group["name"] for group in data["groups"]] == ["ID", "near", "far"]
    assert 300 < len(data["edges"]) <= 1100
    assert np.all(np.diff(data["edges"]) >= 0)  # ID percentiles of equal scores are one place
    named = {
        "ID": scores["test"],
        "a": scores["near_a"],
        "b": scores["near_b"],
        "d": scores["far_d"],
    }
    for fed in (fed for group in data["groups"] for fed in group["sets"]):
        values = named[fed["name"]]
        assert fed["n"] == len(values)
        assert fed["passed"] == np.sum(values <= 0.3 * scale)
        assert np.cumsum(fed["counts"]).tolist() == [
            np.sum(values <= edge) for edge in data["edges"]
        ]
    assert all(0 <= at <= 1 for at, _ in data["ticks"])
    assert len({label for _, label in data["ticks"]}) == len(data["ticks"]) >= 3


@pytest.mark.parametrize("unit", SCORE_UNITS)
def test_what_is_selected_is_laid_into_the_same_bars(unit):
    scores = set_scores(1.5)
    far, near = scores["far_d"], scores["near_a"]
    data = component.binned(
        scores["test"],
        {"near": {"a": near}, "far": {"d": far}},
        0.0,
        Deployment(),
        figures.GROUP_COLOURS,
        unit=unit,
        selected={"far": far, "ID": scores["test"][:1]},
    )
    inside, close, away = data["groups"]
    assert (sum(inside["selected_counts"]), close["selected_counts"]) == (1, [])
    whole = [0] * len(away["selected_counts"])
    for i, count in enumerate(away["sets"][0]["counts"]):  # as the browser draws the group itself
        whole[max(i - 1, 0) // data["bar"]] += count
    whole[-1] += len(far) - sum(whole)
    assert away["selected_counts"] == whole


def test_a_compared_detector_is_counted_where_it_keeps_the_same_share_of_id():
    scores, other = set_scores(1.5, val=True), set_scores(1.0, val=True)
    other["val"], other["test"] = np.exp(other["val"][::-1]), np.exp(other["test"])

    def same_share(thresholds):
        return same_share_thresholds(thresholds, scores["val"], other["val"])

    def data(compared):
        outside = {"far": {"d": scores["far_d"]}}
        return component.binned(
            scores["test"], outside, 0.3, Deployment(), figures.GROUP_COLOURS, compared=compared
        )

    compared = component.ComparedScores(
        ("HEAT", "MoG"), other["test"], {"far": {"d": other["far_d"]}}, 2.0, same_share
    )
    both = data(compared)
    fed = both.pop("compared")
    alone = data(None)
    assert alone.pop("compared") is None
    assert both == alone  # of the other nothing counts in the first one's numbers
    own_edges = same_share(np.array(both["edges"]))
    for edge, own_edge in zip(both["edges"], own_edges, strict=True):
        assert np.sum(other["val"] <= own_edge) == np.sum(scores["val"] <= edge)
    inside, far = (group["sets"][0] for group in fed["groups"])
    for counted, values in ((inside, other["test"]), (far, other["far_d"])):
        assert counted["n"] == len(values)
        assert counted["passed"] == np.sum(values <= 2.0)
        assert np.cumsum(counted["counts"]).tolist() == [np.sum(values <= e) for e in own_edges]
    assert np.interp(fed["place"], np.linspace(0, 1, len(own_edges)), own_edges) == pytest.approx(2)


def test_by_hand_the_compared_detector_keeps_the_same_share_of_id():
    at = open_lab(objective=BY_HAND, cut="0.5", against="MoG")
    kept = [np.sum(set_scores(shift)["test"] <= cut) for shift, cut in ((1.5, 0.5), (1.0, 0.5))]
    assert kept[0] == kept[1]  # ID is the same in both
    assert outcomes(at).loc["ID kept"].tolist() == [f"{kept[0] / 4:.1f} %"] * 2
    assert outcomes(at).loc["the line is at"].tolist() == ["0.5", "0.5"]


def test_a_selection_is_drawn_and_counted_at_the_line():
    at = open_lab(objective=BY_HAND, cut="0.5")
    assert not any("selected, " in entry.value for entry in at.caption)
    at.session_state["selection"] = Selection(
        (LabelledItems("map", "Lasso", {"far_d": np.arange(7), "test": np.arange(5)}),)
    )
    run(at)
    scores = set_scores(1.5)
    out = np.sum(scores["far_d"][:7] > 0.5) + np.sum(scores["test"][:5] > 0.5)
    said = next(
        entry.value for entry in at.caption if entry.value.startswith("Of the 12 selected,")
    )
    assert f" {out} lie above the line." in said
    table = next(frame.value for frame in at.dataframe if "FPR95 (ID+) %" in frame.value).set_index(
        "Set"
    )
    assert table["Selected"].tolist() == [0, 0, 0, 7]
    assert table["of them caught"].tolist() == [0, 0, 0, np.sum(scores["far_d"][:7] > 0.5)]
    assert "selected" not in curve_names(at)  # seven are too few for a curve
    at.multiselect(key="sets").set_value(["near_a"])
    run(at)
    assert any(
        entry.value.startswith("Of the 12 selected, 5 are drawn here (the rest")
        for entry in at.caption
    )


def test_images_at_the_line_within_another_selection_begin_at_their_first_page(monkeypatch):
    monkeypatch.setattr("app.pack.controls.GALLERY_SIZE", 2)
    at = open_lab()

    def select(*rows: int) -> None:
        at.session_state["selection"] = Selection(
            (LabelledItems("map", "Some", {"test": np.array(rows)}),)
        )
        run(at)

    select(1, 2, 3, 4)
    at.session_state["line-page"] = 2
    run(at)
    select(1, 2, 3, 4)
    assert at.session_state["line-page"] == 2
    select(1, 2, 3, 5)
    assert at.session_state["line-page"] == 1


def test_a_hand_compares_at_equal_id_whatever_the_rules_would_do():
    at = open_lab(scorer="MoG", against="HEAT", objective=BY_HAND, cut="0.5")
    mine, theirs = (outcomes(at)[name]["ID kept"] for name in ("MoG", "HEAT"))
    assert abs(float(mine.split()[0]) - float(theirs.split()[0])) <= 0.25  # one of 400


def test_a_hand_on_other_data_leaves_the_rules_share_alone():
    at = open_lab(objective=BY_HAND, cut="-9.0", keep="90")
    at.session_state["line_data"] = "other"
    run(at)
    assert at.selectbox(key="objective").value == RULES_BY_TITLE["Keep a share of ID"].title
    assert at.number_input(key="keep").value == 90.0


def test_a_selection_has_a_curve_of_its_own():
    at = open_lab(objective=BY_HAND, cut="0.5")
    assert "Selected" not in next(
        frame.value for frame in at.dataframe if "FPR95 (ID+) %" in frame.value
    )
    at.session_state["selection"] = Selection(
        (LabelledItems("map", "Lasso", {"far_d": np.arange(20), "test": np.arange(5)}),)
    )
    run(at)
    assert curve_names(at) == ["near", "mid", "far", "selected"]


def curve_names(at: AppTest) -> list[str]:
    """Returns the names of the ROC curves on the page."""
    chart = next(chart for chart in at.get("plotly_chart") if "ROC" in chart.proto.alt)
    return [
        trace["name"] for trace in json.loads(chart.proto.spec)["data"] if trace["mode"] == "lines"
    ]


def test_a_number_is_written_in_one_way():
    at = open_lab(objective=BY_HAND, cut="49")
    assert outcomes(at)["HEAT"]["the line is at"] == "49"
    table = style_digits(at.dataframe[1].value)
    assert (
        "100.0" in table.to_string()
    )  # everything is missed there, and a share has a digit even if it is 0
    assert at.dataframe[1].value["Missed, FPR (ID+) %"].tolist() == [100.0] * 4
    assert margin_texts([], 1.0) == []
    assert margin_texts([1.0, 1.0], 1.0) == ["+0", "+0"]


@pytest.mark.parametrize(
    "values", [[2.0], [0.0, 0.0], [1e9, 1e9 + 1e-6], [-1.0, -1.0, 5.0], [1e-300]]
)
@pytest.mark.parametrize("unit", SCORE_UNITS)
def test_odd_scores_still_have_an_axis(values, unit):
    data = component.binned(values, {}, values[0], Deployment(), figures.GROUP_COLOURS, unit=unit)
    assert np.isfinite(data["edges"]).all()
    assert len(data["edges"]) <= 1500


# -- tables ----------------------------------------------------------------------------------------


def test_items_have_global_ids_where_the_features_know_them(arrays):
    pack = pack_from_arrays(arrays)
    known = Features(pack.test.z, pack.test.y, index=torch.arange(60) + 100, source="cifar10/test")
    assert item_id(known, "test", 7) == "cifar10/test/107"
    assert item_id(pack.test, "test", 7) == "test/7"
    pack = Pack(pack.train, known, pack.ood, pack.extra, {"classes": ["ant", "bee", "cat", "dog"]})
    scores = {"test": np.linspace(-1, 1, 60), "near_a": np.full(40, 9.0)}
    places = nearest_pack_rows(scores, 0.0, 4)
    table = nearest_table(
        pack, scores, places, 0.0, {name: values > 5 for name, values in scores.items()}
    )
    assert table["Item"].tolist() == [f"cifar10/test/{i}" for i in (128, 129, 130, 131)]
    assert table["Outcome"].tolist() == ["kept", "kept", "flagged", "flagged"]
    assert table["The other says"].tolist() == ["kept"] * 4
    assert table["Class"].tolist() == ["ant", "bee", "cat", "dog"]


def test_charts_are_thin():
    scores = {
        "test": np.random.default_rng(0).normal(size=50_000),
        "far_d": np.random.default_rng(1).normal(2, size=50_000),
    }
    every = sweep(scores["test"], {"far": {"d": scores["far_d"]}})
    roc = figures.roc({"far": (1 - every.kept, every.caught)}, {"far": (0.05, 0.6)})
    cost = figures.cost(every.kept, every.cost(Deployment()), (0.95, 500.0))
    assert len(roc.to_json()) < 30_000
    assert len(cost.to_json()) < 30_000
    assert roc.data[0].y.max() == pytest.approx(100)
    assert cost.data[1].y[0] == pytest.approx(every.cost(Deployment()).min())


# -- what is promised ------------------------------------------------------------------------------


def held_out_scores(moved: float) -> SetScores:
    random = np.random.default_rng(3)
    sets = {"test": random.normal(moved, 1, 300), "val": random.normal(size=1000)}
    return SetScores({**sets, "far_a": random.normal(5, 1, 50)})


def test_a_promise_is_held_against_rows_that_it_was_not_chosen_on():
    kept = what_is_promised(Conformal(0.95), held_out_scores(0))
    assert "is kept with a probability of at least 95 %" in kept
    assert "of 300 other ID rows are kept, within chance" in kept
    assert "would put the line between" in kept
    broken = what_is_promised(KeepWithConfidence(0.95, 0.95), held_out_scores(1))
    assert "With 95 % confidence, at least 95 % of all ID inputs are kept." in broken
    assert "less than chance explains" in broken


def test_where_nothing_is_promised_nothing_is_said_of_it():
    assert what_is_promised(None, held_out_scores(0)) == ""
    assert what_is_promised(Youden(), held_out_scores(0)) == ""
    only_test = SetScores({"test": np.arange(100.0), "far_a": np.arange(5.0)})
    said = what_is_promised(KeepShare(0.9), only_test)
    assert said.startswith("Other calibration scores, as many, would put the line between")


def test_the_page_says_what_is_promised():
    at = open_lab(objective=Conformal.title)
    assert "is kept with a probability of at least 95 %, on average" in text(at)
    at = open_lab(objective=BY_HAND, cut="1.0")
    assert "is kept with a probability" not in text(at)


def test_two_sets_of_one_title_are_both_drawn(monkeypatch, tmp_path, arrays):
    pack = pack_from_arrays(arrays, "Small")
    titles = {"near_a": "Same", "near_b": "Same", "mid_c": "Other"}
    same = replace(pack, card={**pack.card, "titles": titles})
    monkeypatch.setattr(Pack, "title_of", lambda self, name: titles.get(name, name))
    assert unique_titles(same) == {
        "near_a": "near_a",
        "near_b": "near_b",
        "mid_c": "Other",
        "far_d": "far_d",
    }


def test_the_band_is_where_other_calibration_scores_would_put_the_line():
    scores = SetScores(set_scores(1.5, val=True))
    low, high = line_interval(Conformal(0.95), scores)
    assert low < Conformal(0.95).fit(scores["val"]).threshold < high
    assert f"between {low:.3g} and {high:.3g}" in what_is_promised(Conformal(0.95), scores)
    assert line_interval(None, scores) is None
    assert line_interval(Youden(), scores) is None
    drawn = component.binned(
        scores.test, {}, 0.0, Deployment(), figures.GROUP_COLOURS, interval=(low, high)
    )
    assert drawn["interval"] == (low, high)


def test_scores_of_ill_conditioned_features_get_an_axis_that_shows_id_and_says_so(monkeypatch):
    scores = set_scores(1.5)
    far = {name: values + 2e8 for name, values in scores.items() if name != "test"}
    diagnosis = Diagnosis("red", "The covariance's condition number is 1e+09: too much.")
    ill = DetectorScores("HEAT", {"test": scores["test"], **far}, diagnosis=diagnosis)
    monkeypatch.setattr("app.pack.scores.scoring_work", scoring(ill))
    at = open_lab()
    assert "logarithmic beyond" in text(at)
    assert ":red-badge[:material/dangerous: Not to be trusted] **HEAT**" in text(at)

    data = component.binned(
        scores["test"], {"far": {"d": far["far_d"]}}, 1.0, Deployment(), figures.GROUP_COLOURS
    )
    steps_of_id = np.count_nonzero(data["groups"][0]["sets"][0]["counts"])
    assert steps_of_id > 20
    assert data["note"] == SYMLOG_NOTE


def test_fitting_is_stopped_and_goes_on_from_what_is_ready(monkeypatch):
    begun, jobs = [], []

    def scoring_work(pack, preset, keep_runs, names, known, **keeping):
        begun.append(sorted(known))

        def work(job: Job) -> None:
            jobs.append(job)
            scoring(BOTH[1], over=False)()(job)

        return work

    monkeypatch.setattr("app.pack.scores.scoring_work", scoring_work)
    at = open_lab(scorer="MoG")
    at.selectbox(key="scorer").set_value("HEAT")
    run(at)
    assert "Stop" in {button.label for button in at.button}
    at.button(key="stop-scoring").click()
    run(at)
    assert "1 is ready" in text(at)
    assert not at.get("progress")
    assert jobs[0].was_cancelled
    at.button(key="go-on-scoring").click()
    run(at)
    assert at.get("progress")
    assert begun == [[], ["MoG"]]
