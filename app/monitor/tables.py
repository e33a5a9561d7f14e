"""Pure: tables and sentences of the Monitor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from app.pack.tables import percent
from app.text import number_text, plain
from heat_core.set_name import SetName
from heat_core.texts import one_line

if TYPE_CHECKING:
    from app.monitor.evaluation import Batches, Monitored, StreamChoice, StreamSource
    from heat_core.monitoring import Notice, SliceWatch
    from heat_core.thresholds import Proportion

TESTS = {
    "martingale": "the martingale",
    "cusum": "the CUSUM",
    "flag_rate": "the flag rate",
    "ks": "the KS test of windows",
}
"""{test: what a sentence calls it}, as `heat_core.monitoring.notices` names them."""
HEADLINE_TESTS = ("martingale", "flag_rate")
LIMIT, RUN_LENGTH = 20.0, 10_000.0  # of the martingale and the CUSUM
FIRST_ROWS = "The calibration rows are the first rows of the file. "
GUARANTEED = (
    "Guaranteed, while only ID rows come, from where the calibration rows come from: of streams of "
    "any length, looked at after every row, at most 5 of 100 ever take the martingale to 20. The "
    "CUSUM errs once in 10,000 rows at most, on average. The grey band holds 95 of 100 windows; "
    "the dashed lines of the flag rate hold every window of 95 of 100 such streams."
)
NOT_GUARANTEED = (
    "Not guaranteed: that a change is noticed, or how soon. An alarm says that the rows are not "
    "like the calibration rows any more, and not why: another camera alarms as OOD does."
)


# -- sentences -------------------------------------------------------------------------------------


def stream_finding(choice: StreamChoice, monitored: Monitored, title: str) -> str:
    """Returns when a simulated stream's change was noticed, in a sentence.

    Args:
        choice: the settings.
        monitored: the stream.
        title: of what is mixed in.
    """
    noticed = monitored.noticed
    if not choice.has_change:
        return _calm_finding(noticed_anywhere(monitored), choice.rows)
    one, other = (noticed[test] for test in HEADLINE_TESTS)
    begin = f"{TESTS['martingale']} {_delay_phrase(one)}, {TESTS['flag_rate']} "
    # two that notice share a verb
    if one.delay is not None and other.delay is not None:
        parts = f"{begin}after {_rows(other.delay)}"
    else:
        parts = f"{begin}{_delay_phrase(other)}"
    share = f"{100 * choice.share:g}\u00a0%"
    return f"{share} of {title} from row {choice.moment:,}: {parts}."


def _delay_phrase(notice: Notice) -> str:
    if notice.delay is not None:
        return f"notices after {_rows(notice.delay)}"
    if notice.false_alarms:
        return "had alarmed before, falsely"
    return "does not notice within the stream"


def source_sentences(choice: StreamChoice, source: StreamSource) -> str:
    """Returns what a simulated stream is made of, and what it is held against."""
    available, calibration = len(source.inside.scores), len(source.calibration.scores)
    basis = "held-out ID rows" if source.has_val else "ID test rows, the other half,"
    text = (
        f"ID rows come in random order, none of them twice, out of {available:,} test rows; "
        f"the threshold and p-values rest on {calibration:,} {basis} that never come."
    )
    if choice.mixed and SetName.parse(choice.mixed).is_pseudo:
        text += " Detectors may have learned from images destroyed like these, or chosen settings."
    return text


def _calm_finding(alarms: Mapping[str, int], rows: int) -> str:
    """Returns what became of a stream that nothing was mixed into.

    Args:
        alarms: {test: how many rows had come at its first alarm}.
        rows: of the stream.
    """
    if not alarms:
        return f"ID alone, {rows:,} rows: no test alarms."
    parts = [f"{TESTS[test]} at row {row:,}" for test, row in alarms.items()]
    return f"ID alone, {rows:,} rows: a false alarm of {' and of '.join(parts)}."


def noticed_anywhere(monitored: Monitored) -> dict[str, int]:
    """Returns {test: how many rows had come at its first alarm} of tests that alarmed."""
    from heat_core.monitoring import notices

    return {
        test: notice.delay
        for test, notice in notices(monitored.found, 0).items()
        if notice.delay is not None
    }


def file_finding(name: str, monitored: Monitored) -> str:
    """Returns what became of a stream file, in a sentence."""
    first = monitored.first_row
    rows = len(monitored.found.p_values)
    alarms = noticed_anywhere(monitored)
    begin = f"{name}: {rows:,} rows held against the first {first:,}"
    if not alarms:
        return f"{begin}, and no test alarms."
    parts = [
        f"{TESTS[test]} alarms at {plain(_row_and_time(monitored, row))}"
        for test, row in alarms.items()
        if test in HEADLINE_TESTS
    ] or [f"{TESTS[test]} alarms at row {first + row:,}" for test, row in alarms.items()]
    return f"{begin}: {', '.join(parts)}."


def _row_and_time(monitored: Monitored, rows: int) -> str:
    """Returns the number of the last of so many rows, and when it came if the stream says that."""
    time = monitored.found.times[rows - 1]
    at = "" if time == rows - 1 else f" ({one_line(time, 40)})"
    return f"row {monitored.first_row + rows:,}{at}"


def _rows(count: int) -> str:
    """Returns a number of rows in words.

    >>> _rows(1), _rows(1430)
    ('1 row', '1,430 rows')
    """
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


# -- tables ----------------------------------------------------------------------------------------


def notices_table(monitored: Monitored, has_change: bool) -> pd.DataFrame:
    """Returns one row per test: when it noticed the change, false alarms before, its promise.

    Args:
        monitored: the stream.
        has_change: whether something changes at the moment; else every alarm is false.
    """
    windows = len(monitored.found.rates.rows)
    promises = _promises(windows)
    anywhere = noticed_anywhere(monitored)
    rows: list[dict[str, Any]] = []
    for test, notice in monitored.noticed.items():
        cells: dict[str, Any] = {"Test": _capital(TESTS[test])}
        if has_change:
            came = 0 if notice.delay is None else monitored.moment + notice.delay
            cells["Notices after"] = _delay_text(notice)
            cells["Of these mixed in"] = f"{monitored.changed_by(came):,}" if came else "–"
            cells["False alarms before"] = notice.false_alarms
        else:
            cells["First alarm"] = _first_alarm(monitored, anywhere.get(test))
        rows.append({**cells, "Without a change": promises[test]})
    return pd.DataFrame(rows)


def _delay_text(notice: Notice) -> str:
    if notice.delay is not None:
        return _rows(notice.delay)
    return "alarmed before" if notice.false_alarms else "not within the stream"


def _first_alarm(monitored: Monitored, rows: int | None) -> str:
    return "none" if rows is None else _row_and_time(monitored, rows)


def _promises(windows: int) -> dict[str, str]:
    """Returns {test: how often it alarms without a change}, of a stream of so many windows."""
    of_windows = f"at most 5 of 100 streams of {windows:,} windows alarm"
    return {
        "martingale": "at most 5 of 100 streams alarm, ever",
        "cusum": "once in 10,000 rows at most, on average",
        "flag_rate": of_windows,
        "ks": of_windows,
    }


def _capital(text: str) -> str:
    """Returns a test's name as a cell has it.

    >>> _capital("the flag rate"), _capital("the KS test of windows")
    ('Flag rate', 'KS test of windows')
    """
    name = text.removeprefix("the ")
    return name[:1].upper() + name[1:]


def batches_table(batches: Batches) -> pd.DataFrame:
    """Returns one row per batch test: its statistic and its p-value."""
    rows = [("Scores: Kolmogorov and Smirnov", batches.scores)]
    if batches.features is not None:
        rows.append(("Features: maximum mean discrepancy", batches.features))
    return pd.DataFrame(
        {
            "Batch test": name,
            "Statistic": f"{difference.statistic:.3g}",
            "p-value": f"{difference.p_value:.3g}",
        }
        for name, difference in rows
    )


def slices_table(monitored: Monitored, heading: str, name_of: Callable[[Any], str]) -> pd.DataFrame:
    """Returns one row per slice: what is flagged of it, and when its martingale alarms.

    That which wins most comes first.

    Args:
        monitored: the stream.
        heading: of the slices, such as `Taken for`.
        name_of: the name of a slice by its value.
    """
    by_wealth = sorted(monitored.slices, key=_largest_wealth, reverse=True)
    return pd.DataFrame(
        {
            heading: name_of(one.value),
            "Rows": len(one.rows),
            "Flagged": percent(_share(one.flagged)),
            "Flagged of calibration": percent(_share(one.calibration_flagged)),
            "Largest wealth": number_text(_largest_wealth(one)),
            "Alarm": _slice_alarm(monitored, one),
        }
        for one in by_wealth
    )


def _share(flagged: Proportion | None) -> float:
    return float("nan") if flagged is None else flagged.share


def _largest_wealth(one: SliceWatch) -> float:
    """Returns the largest wealth of a slice's martingale, which begins at 1."""
    return float(np.exp(min(one.martingale.log_wealth.max(initial=0.0), 700.0)))


def _slice_alarm(monitored: Monitored, one: SliceWatch) -> str:
    if one.alarm_at is None:
        return "none"
    row = one.alarm_at + 1
    if not monitored.has_changed_rows:
        return f"row {monitored.first_row + row:,}"
    delay = row - monitored.moment
    return f"after {_rows(delay)}" if delay > 0 else f"row {row:,}, falsely"


def slices_caption(monitored: Monitored, kind: str) -> str:
    """Returns how slices are watched, and which rows are in none.

    Args:
        monitored: the stream, with a slice at least.
        kind: what a slice is, such as `class`.
    """
    count = len(monitored.slices)
    limit = monitored.slices[0].limit
    watched = sum(len(one.rows) for one in monitored.slices)
    left = len(monitored.found.p_values) - watched
    text = (
        f"Each {kind} has a martingale of its own, against calibration rows of the same {kind}. "
        f"It alarms at {limit:,.0f}, {count} times 20, so that of streams without a change at most "
        f"5 of 100 alarm in any of the {count}."
    )
    if left:
        text += f" {_rows(left)} of the stream belong to none of them."
    return text
