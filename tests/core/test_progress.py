"""How far long work is: what closed forms tell on the way, and the line that a command shows."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator

import pytest
import torch

from heat_core.commands import progress as commands_progress
from heat_core.commands.progress import ProgressLine, progress_line
from heat_core.detectors.detector import Detector
from heat_core.detectors.presets import preset_detector
from heat_core.features import Features
from heat_core.pack import NO_EXTRA
from heat_core.progress import progress_to, report_progress, row_blocks
from heat_core.run import fit
from tests.samples import extra


def steps_of(detector: Detector, train: Features) -> dict[str, list[float | None]]:
    """Returns {what was done: how far it was, time and again} of a fit and of scoring its rows."""
    steps: dict[str, list[float | None]] = {}
    with progress_to(lambda doing, share: steps.setdefault(doing, []).append(share)):
        run = fit(detector, train, extra=extra() if detector.trains else NO_EXTRA)
        run.score(train)
    return steps


@pytest.mark.parametrize(
    ("name", "doing"),
    [
        ("MSP", ["scoring"]),
        ("KNN", ["normalising", "filling the bank", "scoring"]),
        (
            "SSD",
            [
                "normalising",
                "averaging classes",
                "estimating the covariance",
                "decomposing the covariance",
                "scoring",
            ],
        ),
    ],
)
def test_a_closed_form_tells_what_it_does_and_how_far_it_is(
    name: str, doing: list[str], train: Features
) -> None:
    steps = steps_of(preset_detector(name), train)
    assert list(steps) == doing
    for doing_it, shares in steps.items():
        if doing_it != "decomposing the covariance":
            assert shares == [0.0, 1.0]


def test_blocks_of_rows_are_counted(monkeypatch: pytest.MonkeyPatch, train: Features) -> None:
    monkeypatch.setattr("heat_core.energies.views.FIT_ROWS", 100)
    monkeypatch.setattr("heat_core.energies.neighbors.FIT_ROWS", 60)
    steps = steps_of(preset_detector("KNN"), train)
    assert steps["normalising"] == [0, 100 / 240, 200 / 240, 1]
    assert steps["filling the bank"] == [0, 0.25, 0.5, 0.75, 1]


def test_the_distances_to_a_large_bank_are_counted_as_often_as_they_are_multiplied() -> None:
    bank = Features(torch.randn(2**15 + 1, 1, generator=torch.Generator().manual_seed(0)))
    run = fit(preset_detector("KNN", domain="plane"), bank)
    shares: list[float | None] = []
    with progress_to(lambda doing, share: shares.append(share)):
        run.score(bank.take(torch.arange(5000)))
    assert len(shares) == 1 + -(-5000 // run.energy.rows_at_a_time) == 4
    assert run.energy.rows_at_a_time * len(bank) <= 2**27


def test_a_training_tells_every_step(train: Features) -> None:
    steps = steps_of(preset_detector("HEAT", "quick", "pseudo"), train)
    shares = [share for share in steps["training"] if share is not None]
    assert len(shares) == 150
    assert shares == sorted(shares)
    assert "diagnosing" in steps


def test_what_is_told_may_end_the_work(train: Features) -> None:
    def stop(doing: str, share: float | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress_to(stop):
        fit(preset_detector("KNN"), train)
    fit(preset_detector("KNN"), train)  # which tells nobody any more


def test_what_other_threads_do_is_not_told() -> None:
    heard: list[str] = []
    with progress_to(lambda doing, share: heard.append(doing)):
        other = threading.Thread(target=report_progress, args=("elsewhere",))
        other.start()
        other.join()
        report_progress("here")
    assert heard == ["here"]


# -- the line of a command -------------------------------------------------------------------------


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """[the time], that tests set."""
    now = [0.0]
    monkeypatch.setattr(commands_progress.time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_has_one_line_rewritten(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_line("KNN"):
        report_progress("normalising", 0.0)
        report_progress("normalising", 0.5)  # at once: not shown
        clock[0] = 1.0
        report_progress("normalising", 0.75)
        report_progress("scoring", 0.0)  # something else: shown at once
    shown = terminal.getvalue().split("\r")
    assert [text.rstrip() for text in shown] == [
        "",
        "KNN: normalising, 0%",
        "KNN: normalising, 75%",
        "KNN: scoring, 0%",
        "",
        "",
    ]
    assert len(shown[3]) == len(shown[2])  # nothing of the longer one stays


def test_a_log_has_a_line_every_half_a_minute(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_line("KNN"):
        for second in range(0, 100, 10):
            clock[0] = second
            report_progress("scoring", second / 100)
    assert capsys.readouterr().err == ("KNN: scoring, 30%\nKNN: scoring, 60%\nKNN: scoring, 90%\n")


def test_other_lines_take_the_place_of_the_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    line = ProgressLine("HEAT")
    line.show("training", 0.1)
    line.clear()
    line.clear()  # nothing is there any more
    print("step 1", file=sys.stderr)
    assert terminal.getvalue() == f"\rHEAT: training, 10%\r{' ' * 19}\rstep 1\n"


def test_no_row_is_no_block() -> None:
    assert list(row_blocks("scoring", 0, 10)) == []
