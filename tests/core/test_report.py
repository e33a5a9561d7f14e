"""The page of results, and the paired bootstrap that it rests on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heat_core.__main__ import main
from heat_core.pack import pack_from_arrays, write_pack
from heat_core.plane.suite import trial_rows, trials
from heat_core.results.bootstrap import bootstrap, paired_differences
from heat_core.results.formats import FORMATS
from heat_core.results.report import Results, report
from heat_core.results.table import over_seeds, tabulate
from heat_core.scores import SetScores
from heat_core.set_name import SetName

SETS = [("near", "a"), ("near", "b"), ("far", "c")]


def _scores(seed: int, shift: float) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    scores = {"test": random.normal(size=600)}
    for key in SETS:
        scores[str(SetName(*key))] = random.normal(shift, size=300)
    return scores


def test_the_bootstrap_holds_the_difference_of_the_tables() -> None:
    ours, theirs = _scores(0, 2.0), _scores(1, 1.0)
    table = tabulate({"ours": ours, "theirs": theirs}, SETS)
    differences = paired_differences(ours, theirs, SETS, rounds=60)
    assert list(differences) == ["near", "far", "average"]
    for group, (fpr, area) in differences.items():
        assert fpr.observed == pytest.approx(
            table.average("ours", group).fpr95 - table.average("theirs", group).fpr95
        )
        assert area.observed == pytest.approx(
            table.average("ours", group).auroc - table.average("theirs", group).auroc
        )
        assert fpr.low < fpr.observed < fpr.high < 0
        assert 0 < area.low < area.observed < area.high


def test_bootstraps_of_the_same_images_are_joined_as_if_made_at_once() -> None:
    scores = {"A": _scores(0, 1.0), "B": _scores(1, 2.0), "C": _scores(2, 3.0)}
    first, rest = {"A": scores["A"]}, {name: scores[name] for name in "BC"}
    whole = bootstrap(scores, SETS, rounds=20)
    joined = bootstrap(first, SETS, rounds=20).joined(bootstrap(rest, SETS, rounds=20))
    assert joined.detectors == whole.detectors
    np.testing.assert_array_equal(joined.observed, whole.observed)
    np.testing.assert_array_equal(joined.resampled, whole.resampled)
    with pytest.raises(ValueError, match="wanted the groups near, far, average and 20 resamples"):
        joined.joined(bootstrap(rest, SETS[:1], rounds=20))


def test_pairing_finds_what_is_the_same_to_be_the_same() -> None:
    """On another scale nothing differs in any resample; unpaired resamples would not show it."""
    ours = _scores(0, 1.0)
    rescaled = {name: 3 * values + 1 for name, values in ours.items()}
    differences = paired_differences(ours, rescaled, SETS, rounds=20)
    intervals = [interval for pair in differences.values() for interval in pair]
    assert all(interval.low == interval.high == 0 for interval in intervals)


def test_the_page_has_every_detector(
    no_training: None, arrays: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    write_pack(pack_from_arrays(arrays, "mine"), folder)
    assert main(["report", str(folder), "--seeds", "1", "--preset", "quick", "--no-plane"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("# Results on mine\n")
    for name in ("MSP", "Energy", "KNN", "SSD", "MoG", "EBM", "HEAT-GMM", "HEAT-EL", "HEAT"):
        assert f"\n| {name} | " in page
    for sentence in ("HEAT-GMM is ", "HEAT-EL is ", "HEAT is "):
        assert sentence in page
    assert "| HEAT-EL | average |" in page.partition("## HEAT against the others")[2]
    assert "| Against | Group |" in page
    assert "The paper's numbers" not in page  # it has none for these features


def test_the_page_of_a_mirrored_pack_says_once_that_scores_take_two_passes(arrays: dict) -> None:
    pack = pack_from_arrays(arrays, "mine")
    random = np.random.default_rng(0)
    scores = SetScores({name: random.normal(size=len(rows)) for name, rows in pack.sets()})
    pages = []
    for classifier in ({"test_accuracy": 0.9}, {"test_accuracy": 0.9, "mirror": True}):
        card = {**pack.card, "classifier": classifier}
        results = Results([{"MoG": scores}], [{"MoG": scores}])
        pages.append(report(replace(pack, card=card), results, "it"))
    assert "two passes" not in pages[0]
    assert "right on 90.00% of the ID test set. Mean and" in pages[0]
    assert pages[1].count("two passes") == 1
    assert "right on 90.00% of the ID test set in one pass. Scores take two passes" in pages[1]


def test_the_plane_is_told_by_its_worst_seed(no_diagnosis: None) -> None:
    measured = list(trials((("blobs", "HEAT", "quick"), ("blobs", "MoG", "quick")), seeds=2))
    heading, rows = trial_rows(measured)
    assert [row[:3] for row in rows] == [["blobs", "HEAT", "quick"], ["blobs", "MoG", "quick"]]
    table = [dict(zip(heading, row, strict=True)) for row in rows]
    assert float(table[0]["KL, worst seed"]) == pytest.approx(
        max(trial.distance.kl for trial in measured[:2]), abs=5e-4
    )
    assert float(table[0]["Worst ratio to MoG"]) < 0.5
    assert table[1]["Worst ratio to MoG"] == "1.00"
    assert table[1]["Fewest modes"] == "4 of 4"


def test_a_set_that_fine_tuning_knew_is_marked_and_in_no_average() -> None:
    near_b = np.array([0.0, 5.0])
    scores = {"KNN": {"test": np.array([1.0, 2.0]), "near_a": np.array([3.0]), "near_b": near_b}}
    sets = [("near", "a"), ("near", "b")]
    table = tabulate(scores, sets, averaged=sets[:1])
    assert [row.is_apart for row in table.rows] == [False, True]
    assert [row.auroc for row in table.rows] == [1.0, 0.5]
    assert (table.average("KNN", "near").auroc, table.average("KNN").auroc) == (1.0, 1.0)
    assert tabulate(scores, sets).average("KNN").auroc == 0.75
    for form in ("text", "markdown", "latex"):
        assert "b *" in FORMATS[form](table)
        assert "a *" not in FORMATS[form](table)
    assert over_seeds([table, table])[0].rows == table.rows


@pytest.mark.parametrize("decimals", [8, 0])  # with none there are many ties
def test_a_resample_has_the_figures_that_its_images_have(decimals: int) -> None:
    both = {"ours": _scores(0, 2.0), "theirs": _scores(1, 1.0)}
    scores = {
        who: {name: values.round(decimals) for name, values in by_set.items()}
        for who, by_set in both.items()
    }
    draws = bootstrap(scores, SETS, rounds=5, seed=3)
    assert draws.groups == ("near", "far", "average")
    generator = np.random.default_rng(3)
    for draw in (None, *range(5)):
        rows = {
            name: generator.integers(len(v), size=len(v)) if draw is not None else np.arange(len(v))
            for name, v in scores["ours"].items()
        }
        table = tabulate(
            {
                who: {name: v[rows[name]] for name, v in by_set.items()}
                for who, by_set in scores.items()
            },
            SETS,
        )
        wanted = [
            [
                [getattr(table.average(who, group), figure) for figure in ("fpr95", "auroc")]
                for group in table.groups
            ]
            for who in scores
        ]
        figures = draws.observed if draw is None else draws.resampled[draw]
        np.testing.assert_allclose(figures, wanted)


def test_an_interval_of_one_detector_holds_its_figure() -> None:
    intervals = bootstrap({"ours": _scores(0, 1.5)}, SETS, rounds=80).intervals("ours")
    for fpr, area in intervals.values():
        assert fpr.low < fpr.observed < fpr.high
        assert area.low < area.observed < area.high < 1


def test_what_is_the_same_for_all_seeds_has_no_deviation() -> None:
    """The standard deviation of five times .1 is 1e-17 by its formula, and was printed as ± 0.0."""
    random = np.random.default_rng(0)
    scores = {"KNN": {"test": random.normal(size=70), "near_a": random.normal(1, 1, 30)}}
    table = tabulate(scores, [("near", "a")])
    mean, std = over_seeds([table] * 5)
    assert {(row.auroc, row.fpr95) for row in std.rows} == {(0.0, 0.0)}
    assert "±" not in FORMATS["markdown"](mean, std, [])
