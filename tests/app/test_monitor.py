"""The Monitor in every state, through Streamlit's AppTest; stream files, good and bad."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from app.components.moment_line import dots
from app.job import Job
from app.monitor import stream_file
from app.monitor.figures import stream_figure
from app.monitor.stream_file import read_stream_file
from app.pack.work import DetectorScores
from app.text import plain
from heat_core.detectors.presets import preset_detector
from heat_core.explain import assigned_classes
from heat_core.monitoring import (
    Martingale,
    kernel_two_sample,
    kolmogorov_smirnov,
    mix_in,
    notices,
    online_p_values,
    watch,
    watch_slices,
)
from heat_core.pack import ExtraID, pack_from_arrays, read_pack, write_pack
from heat_core.run import fit
from heat_core.thresholds import Conformal
from tests.app.pages import app, link, opened, text, upload, wait

SHOWN = ("MoG", "KNN")
pytestmark = pytest.mark.usefixtures("few_detectors")

SIZES = {"test": 600, "val": 300, "near_a": 40, "near_b": 30, "mid_c": 30, "far_d": 50}


def scores_of(with_val: bool = True) -> dict[str, np.ndarray]:
    """Returns scores of every set; the OOD sets lie above ID."""
    random = np.random.default_rng(3)
    scores = {
        name: random.normal(4.0 if "_" in name else 0.0, 1, size) for name, size in SIZES.items()
    }
    return scores if with_val else {name: scores[name] for name in scores if name != "val"}


@pytest.fixture
def pack_folder(arrays: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small pack, the only one that the server offers."""
    folder = tmp_path / "packs" / "small"
    write(arrays, folder)
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path / "packs")
    return folder


def write(arrays: dict, folder: Path, with_val: bool = True) -> None:
    tiled = {name: np.tile(arrays["test_z"], (10, 1))[: SIZES[name]] for name in ("test", "val")}
    sets = {"test_z": tiled["test"], "test_y": np.tile(arrays["test_y"], 10)}
    if with_val:
        sets["val_z"] = tiled["val"]
    write_pack(pack_from_arrays({**arrays, **sets}, "Small"), folder)


@pytest.fixture
def ready_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that are there at once."""
    report(monkeypatch, DetectorScores("MoG", scores_of()))


def report(monkeypatch: pytest.MonkeyPatch, *frames: DetectorScores) -> None:
    def work(job: Job) -> None:
        for frame in frames:
            job.report(0.5, frame)

    monkeypatch.setattr("app.pack.scores.scoring_work", lambda *settings, **more: work)


def monitor(**query: str) -> AppTest:
    at = opened(app(**{"scorer": "MoG", **query}).switch_page("monitor/page.py"))
    return wait(at, lambda page: page.subheader or page.error or page.info)


def simulated(moment: int, share: float, rows: int = 600, seed: int = 0, window: int = 100):
    """Returns (what became of the stream, which rows were mixed in, their index), by the core."""
    scores = scores_of()
    is_far, index = mix_in(rows, share, moment, SIZES["test"], SIZES["far_d"], seed)
    stream = np.where(is_far, scores["far_d"][index % 50], scores["test"][index])
    decision = Conformal(0.95).fit(scores["val"])
    return watch(decision, scores["val"], stream, None, window, seed=seed), is_far, index


# -- a simulated stream ----------------------------------------------------------------------------


@pytest.mark.usefixtures("pack_folder", "ready_scores")
def test_the_headline_says_when_the_core_notices_a_change():
    at = monitor()
    assert "out of 600 test rows; the threshold and p-values rest on 300 held-out" in text(at)
    found, is_far, index = simulated(240, 0.1)
    noticed = notices(found, 240)
    delays = {test: notice.delay for test, notice in noticed.items()}
    assert at.subheader[0].value == (
        f"10\u00a0% of far\\_d from row 240: the martingale notices after {delays['martingale']} "
        f"rows, the flag rate after {delays['flag_rate']} rows."
    )
    table = at.dataframe[0].value
    assert table["Notices after"].tolist()[1] == f"{noticed['cusum'].delay} rows"
    came = 240 + noticed["martingale"].delay
    assert table["Of these mixed in"].tolist()[0] == str(is_far[:came].sum())
    assert table["False alarms before"].tolist() == [0, 0, 0, 0]
    batches = at.dataframe[1].value
    scores = scores_of()
    stream = np.where(is_far, scores["far_d"][index % 50], scores["test"][index])
    wanted = kolmogorov_smirnov(stream[40:240], stream[240:440])
    assert batches["Statistic"][0] == f"{wanted.statistic:.3g}"
    assert batches["p-value"][0] == f"{wanted.p_value:.3g}"


def test_features_and_classes_are_those_of_the_rows_in_the_stream(pack_folder, ready_scores):
    at = monitor(mix="30")
    pack = read_pack(pack_folder)
    _, is_far, index = simulated(240, 0.3)
    far, test = pack.ood["far", "d"], pack.test
    z = np.where(is_far[:, None], far.z[index % 50], test.z[index])
    features = kernel_two_sample(z[40:240], z[240:440])
    assert at.dataframe[1].value["Statistic"][1] == f"{features.statistic:.3g}"
    assert at.dataframe[1].value["p-value"][1] == f"{features.p_value:.3g}"
    assert pack.extra.val is not None
    classes = {
        name: assigned_classes(pack.train, rows)
        for name, rows in (("far", far), ("test", test), ("val", pack.extra.val))
    }
    scores = scores_of()
    stream = np.where(is_far, scores["far_d"][index % 50], scores["test"][index])
    slices = watch_slices(
        Conformal(0.95).fit(scores["val"]),
        scores["val"],
        classes["val"],
        stream,
        np.where(is_far, classes["far"][index % 50], classes["test"][index]),
    )
    shown = at.dataframe[2].value.set_index("Taken for")
    assert shown["Rows"].to_dict() == {str(one.value): len(one.rows) for one in slices}
    alarms = {str(one.value): one.alarm_at for one in slices}
    assert {row for row in alarms.values() if row is not None}
    for name, row in alarms.items():
        assert shown["Alarm"][name] == ("none" if row is None else f"after {row + 1 - 240} rows")


@pytest.mark.usefixtures("pack_folder", "ready_scores")
def test_the_moment_is_dragged_and_all_settings_are_in_the_link():
    query = {"mixed": "far_d", "mix": "50", "shuffle": "3", "every": "50", "length": "500"}
    at = monitor(**query)
    at.number_input(key="moment").set_value(100.0)
    opened(at)
    noticed = notices(simulated(100, 0.5, rows=500, seed=3, window=50)[0], 100)
    assert f"from row 100: the martingale notices after {noticed['martingale'].delay}" in (
        at.subheader[0].value
    )
    assert link(at)["mixed"] == "far_d"
    again = monitor(**query, moment="100")
    assert again.subheader[0].value == at.subheader[0].value
    at.number_input(key="length").set_value(60)  # the moment lies beyond: it begins anew
    opened(at)
    assert at.number_input(key="moment").value == 24


@pytest.mark.usefixtures("pack_folder", "ready_scores")
def test_nothing_mixed_in_has_only_false_alarms():
    for query in ({"mixed": "nothing"}, {"mix": "0"}):
        at = monitor(**query)
        calm, is_far, _ = simulated(600, 1.0)
        assert not is_far.any()
        assert calm.martingale.alarm_at is None
        assert at.subheader[0].value == "ID alone, 600 rows: no test alarms."
        assert set(at.dataframe[0].value["First alarm"]) == {"none"}


@pytest.mark.usefixtures("pack_folder", "ready_scores")
@pytest.mark.parametrize("moment", [0, 600])
def test_a_change_from_the_first_row_on_or_after_the_last_one(moment):
    at = monitor(moment=str(moment))
    assert f"from row {moment:,}" in at.subheader[0].value
    assert "It takes two rows before the moment, and two after." in text(at)
    if moment:
        assert at.subheader[0].value.count("does not notice within the stream") == 2


@pytest.mark.usefixtures("pack_folder", "ready_scores")
def test_what_a_link_asks_for_and_is_not_offered_is_passed_over():
    at = monitor(mixed="far_*x*", mix="900", moment="-7", every="0", shuffle="x", length="1e308")
    assert r"the set far\_\*x\*, which is not offered" in at.warning[0].value
    assert at.subheader[0].value == monitor().subheader[0].value


@pytest.mark.usefixtures("pack_folder")
def test_without_held_out_id_half_of_the_test_rows_are_the_calibration(
    arrays, pack_folder, monkeypatch
):
    write(arrays, pack_folder.with_name("without"), with_val=False)
    report(monkeypatch, DetectorScores("MoG", scores_of(with_val=False)))
    at = monitor(pack="without", mixed="nothing")
    assert "ID alone, 300 rows" in at.subheader[0].value
    assert "rest on 300 ID test rows, the other half, that never come" in text(at)
    assert at.number_input(key="moment").max == 300


@pytest.mark.usefixtures("pack_folder", "ready_scores")
def test_a_share_that_cannot_be_promised_is_said_in_one_line():
    at = monitor(keep="99.9")
    assert "takes 999 calibration scores, got 300" in at.warning[0].value
    assert "which promises nothing" in at.warning[0].value
    assert at.subheader


def test_destroyed_id_images_can_be_mixed_in(arrays, pack_folder):
    """With detectors that are fitted: what is destroyed is scored with the other sets."""
    pack = read_pack(pack_folder)
    blurred = pack.test.take(np.arange(30))
    blurred = type(blurred)(blurred.z.roll(3, 1), None)
    folder = pack_folder.with_name("blurred")
    extra = ExtraID(pack.extra.val, {"blur": blurred}, {})
    write_pack(type(pack)(pack.train, pack.test, pack.ood, extra, {"title": "Blurred"}), folder)
    at = monitor(pack="blurred", mixed="pseudo_blur", mix="50")
    assert not at.warning
    assert "may have learned from images destroyed like these" in text(at)
    run = fit(preset_detector("MoG", "modern"), pack.train)
    assert pack.extra.val is not None
    calibration, inside, changed = map(run.score, (pack.extra.val, pack.test, blurred))
    is_changed, index = mix_in(600, 0.5, 240, 600, 30)
    stream = np.where(is_changed, changed[index % 30], inside[index])
    found = watch(Conformal(0.95).fit(calibration), calibration, stream, None, 100)
    delay = notices(found, 240)["martingale"].delay
    begin = "50\u00a0% of blur on ID images from row 240: the martingale "
    assert at.subheader[0].value.startswith(f"{begin}notices after {delay} rows")


@pytest.mark.usefixtures("pack_folder")
def test_a_detector_that_is_absent_says_why(monkeypatch):
    report(monkeypatch, DetectorScores("MoG", {}, "MoG needs *more* rows."))
    at = monitor()
    assert at.info[0].value == r"MoG needs \*more\* rows."
    assert not at.subheader


@pytest.mark.usefixtures("pack_folder")
def test_a_failure_is_one_line(monkeypatch):
    def broken(job: Job) -> None:
        raise RuntimeError("out of *memory*")

    monkeypatch.setattr("app.pack.scores.scoring_work", lambda *settings, **more: broken)
    assert monitor().error[0].value == r"out of \*memory\*"


def test_limits_and_alarms_are_where_the_core_has_them():
    found, _, _ = simulated(240, 0.5)
    figure = stream_figure(found, 240, 0, (20.0, 10_000.0), has_change=True)
    heights = {shape.y0 for shape in figure.layout.shapes if shape.y0 == shape.y1}
    assert heights == {20.0, 10_000.0}
    markers = [trace for trace in figure.data if trace.mode == "markers"]
    assert markers[1].x[0] == found.martingale.alarm_at + 1
    assert markers[2].x[0] == found.cusum.alarm_at + 1
    assert len(markers[0].x) == found.rates.is_alarm.sum()


def test_the_browser_gets_a_dot_for_each_row_and_where_they_would_be_flagged():
    scores = np.append(np.linspace(0, 10, 100), 99.0)
    data = dots(scores, np.arange(101) >= 60, 8.0, 60, 0, {}, low=0, high=101, label="moment")
    assert data["rows"] == list(range(101))
    assert data["changed"] == [0] * 60 + [1] * 41
    assert data["heights"][-1] == 1  # far beyond the others, so at the edge
    flagged = np.array(data["heights"]) > data["threshold"]
    assert flagged.tolist() == (scores > 8).tolist()
    long = dots(np.zeros(50_000), None, 0.0, 7, 5, {}, low=5, high=50_005, label="moment")
    assert len(long["rows"]) <= 4000
    assert (long["first"], long["last"], long["rows"][0]) == (5, 50_005, 5)


@pytest.mark.usefixtures("pack_folder", "ready_scores")
def test_letting_go_of_the_line_sets_the_moment():
    at = monitor()
    at.session_state["moment"] = 300.0  # as `set_moment` does
    opened(at)
    assert "from row 300" in at.subheader[0].value


# -- a file of one's own ---------------------------------------------------------------------------


def stream_table(rows: int = 500) -> pd.DataFrame:
    """Returns a stream whose rows from 300 on score higher where the camera is `south`."""
    random = np.random.default_rng(4)
    south = random.random(rows) < 0.5
    scores = random.normal(size=rows) + 3 * (south & (np.arange(rows) >= 300))
    return pd.DataFrame(
        {
            "score": scores,
            "time": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), "h"),
            "camera": np.where(south, "south", "north"),
            "id": np.arange(rows),
        }
    )


def parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


@pytest.mark.usefixtures("pack_folder", "ready_scores")
def test_a_file_is_held_against_its_first_rows_by_the_core():
    table = stream_table()
    at = monitor()
    shuffled = table.sample(frac=1, random_state=0)
    upload(at, "stream", parquet(shuffled), "a*b.parquet")
    scores = table["score"].to_numpy()
    found = watch(Conformal(0.95).fit(scores[:100]), scores[:100], scores[100:], window=100)
    assert found.martingale.alarm_at is not None
    row = 100 + found.martingale.alarm_at + 1
    assert at.subheader[0].value.startswith(
        "a\\*b.parquet: 400 rows held against the first 100: the martingale alarms at "
        + plain(f"row {row:,} ({table['time'][row - 1]})")
    )
    assert at.number_input(key="moment").max == 500
    assert len(at.dataframe) == 2  # nothing to slice by is chosen
    at.selectbox(key="slice").set_value("camera")
    opened(at)
    south = table["camera"].to_numpy() == "south"
    p = online_p_values(scores[:100][south[:100]], scores[100:][south[100:]])
    alarm_at = Martingale(40.0).test(p).alarm_at
    row = 100 + np.flatnonzero(south[100:])[alarm_at] + 1
    shown = at.dataframe[2].value.set_index("camera")
    assert shown["Alarm"].to_dict() == {"south": f"row {row}", "north": "none"}
    at.file_uploader(key="stream").set_value(None)
    opened(at)
    assert "from row" in at.subheader[0].value


@pytest.mark.usefixtures("pack_folder", "ready_scores")
def test_a_file_that_is_none_is_refused_in_one_line_and_the_simulation_stays():
    at = monitor()
    upload(at, "stream", b"PAR1 and no more", "bad.parquet")
    (error,) = at.error
    assert error.value.startswith(r"bad.parquet\: not a Parquet file that can be read")
    assert at.subheader[0].value.startswith("10\u00a0% of")


def test_a_file_is_watched_without_a_pack(monkeypatch, tmp_path):
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
    at = monitor()
    assert "There are no features yet" in at.info[0].value
    upload(at, "stream", parquet(stream_table()), "s.parquet")
    assert "400 rows held against the first 100" in at.subheader[0].value


def test_a_stream_file_is_read_in_the_order_of_its_times_with_what_can_slice_it():
    table = stream_table()
    table["predicted"] = np.arange(500) % 10
    table["is_ood"] = table["score"] > 2
    table["camera"] = table["camera"].where(table.index > 0)  # the first row has none
    stream = read_stream_file(parquet(table.sample(frac=1, random_state=1)), "s.parquet")
    assert stream.scores.tolist() == table["score"].tolist()
    assert stream.times == table["time"].tolist()
    assert set(stream.columns) == {"camera", "predicted", "is_ood"}  # no id
    camera = stream.columns["camera"]
    named = [camera.names[value] for value in camera.values]
    assert named == ["none", *table["camera"][1:]]


def test_p_values_alone_are_a_stream_whose_small_ones_are_strange():
    p = np.linspace(0, 1, 100)
    stream = read_stream_file(parquet(pd.DataFrame({"p_value": p})), "p.parquet")
    assert stream.is_of_p_values
    assert stream.scores.tolist() == (-p).tolist()
    assert stream.times is None


BAD_TABLES = {
    "wanted a column score or p_value, got z": {"z": np.zeros(100)},
    "wanted 60 to 50,000 rows, got 59": {"score": np.zeros(59)},
    "score must hold finite scores, got nan at 7": {
        "score": np.where(np.arange(100) == 7, np.nan, 0)
    },
    "p_value must lie between 0 and 1, got 0 to 2": {"p_value": np.linspace(0, 2, 100)},
    "the column score must hold numbers": {"score": ["a"] * 100},
    "the column score must not be of type list": {"score": [[1.0]] * 100},
    "the column time says nothing in row 3": {
        "score": np.zeros(100),
        "time": [None if row == 3 else row for row in range(100)],
    },
    "wanted at most 200 columns": {f"c{i}": range(60) for i in range(201)},
}


@pytest.mark.parametrize("message", BAD_TABLES)
def test_a_table_that_is_no_stream_is_refused_in_one_line(message):
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(v) for name, v in BAD_TABLES[message].items()}), buffer)
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z") as refused:
        read_stream_file(buffer.getvalue(), "s.parquet")
    assert message in str(refused.value)


def test_a_file_that_is_too_large_unpacked_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(stream_file, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="wanted at most 0 MB in columns of scores"):
        read_stream_file(parquet(stream_table()), "s.parquet")
