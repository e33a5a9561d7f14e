"""Kept uploads: there for who has the link, for so long, and for nobody else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from app.kept import DAY_SECONDS, KeptUploads, NotKept, kept_uploads
from app.pack.kept_results import ResultKeeper, decode_scores, encode_scores
from app.pack.layout import Layout
from app.pack.work import DetectorScores
from heat_core.explain import ScoreTerms
from heat_core.pack import Pack, pack_from_arrays
from tests.checks import assert_same_features

MB = 2**20


class Clock:
    """A clock that a test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> KeptUploads:
    """A store that keeps uploads for two days, and a file outside of its folder."""
    (tmp_path / "secret.txt").write_text("not yours")
    return KeptUploads(tmp_path / "kept", days=2, quota=MB, now=clock)


@pytest.fixture
def pack(arrays: dict[str, np.ndarray]) -> Pack:
    return pack_from_arrays(arrays, "mine")


SCORES = DetectorScores(
    "HEAT",
    {"test": np.array([0.5, -1.0]), "near_a": np.array([1e-9])},
    warning="a warning",
    terms=ScoreTerms(("prior", "correction"), 1.5, prior_parts=("z", "std")),
    term_values={"test": np.array([[0.25, 0.25], [-1.0, 0.0]])},
    pseudo_scores={"pseudo_blur": np.array([3.0])},
    chosen={"T_G": 1.5},
)


def test_what_is_kept_is_there_for_its_token_until_its_time_is_over(
    store: KeptUploads, pack: Pack, clock: Clock
) -> None:
    kept = store.keep(pack, "a key")
    found = store.find(kept.token)
    assert found is not None
    assert (found.key, found.until) == ("a key", clock.now + 2 * DAY_SECONDS)
    for (_, features), (_, own) in zip(store.read(found).sets(), pack.sets(), strict=True):
        assert_same_features(features, own)
    clock.now += 2 * DAY_SECONDS
    assert store.find(kept.token) is None  # from the second on, whether it was cleared away or not
    store.tend()
    assert list(store.folder.iterdir()) == []


def _keeper(store: KeptUploads, token: str) -> ResultKeeper:
    keeper = ResultKeeper(store)
    keeper.start(token)
    return keeper


def test_another_server_finds_it_with_its_scores_and_refits_nothing(
    store: KeptUploads, pack: Pack, clock: Clock
) -> None:
    token = store.keep(pack, "a key").token
    none = DetectorScores("MSP", {}, "needs the classifier's head")
    _keeper(store, token).keep("modern", [SCORES, none])
    other = _keeper(KeptUploads(store.folder, days=2, quota=MB, now=clock), token)
    scores = other.known("modern")
    assert scores["MSP"] == none
    heat = scores["HEAT"]
    assert (heat.terms, heat.warning, heat.chosen) == (SCORES.terms, "a warning", {"T_G": 1.5})
    for field in ("scores", "term_values", "part_values", "pseudo_scores"):
        expected = getattr(SCORES, field)
        assert getattr(heat, field).keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(getattr(heat, field)[name], values)
    assert other.known("quick") == {}


def test_a_layout_is_kept_with_it_and_read_once(store: KeptUploads, pack: Pack) -> None:
    token = store.keep(pack, "a key").token
    layout = Layout({"test": np.array([[1.0, 2.0], [3.0, 4.0]])}, "umap", 0.9)
    keeper = ResultKeeper(store)
    keeper.keep_layout(layout)  # nothing is kept yet
    assert _keeper(store, token).layout("umap") is None
    keeper.start(token)
    keeper.keep_layout(layout)
    kept = _keeper(store, token).layout("umap")
    assert kept is not None
    np.testing.assert_array_equal(kept.coordinates["test"], layout.coordinates["test"])
    assert (kept.method, kept.trust) == ("umap", 0.9)
    assert _keeper(store, token).layout("pca") is None
    keeper.stop()
    assert keeper.layout("umap") is None


def test_nobody_reaches_it_without_its_token(store: KeptUploads, pack: Pack) -> None:
    token = store.keep(pack, "a key").token
    assert len(token) == 22
    assert len({store.keep(pack, "a key").token for _ in range(3)} | {token}) == 4
    entry = next(store.folder.iterdir()).name
    wrong = [
        "",
        token[:-1],
        f"{token}A",
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token.swapcase(),
        f"{token}\n",
        "../secret.txt",
        f"../kept/{entry}",
        entry,
        entry[:22],
        f"{token}/../..",
        "*" * 22,
        "." * 22,
        "\0" * 22,
        "é" * 22,
    ]
    assert [attempt for attempt in wrong if store.find(attempt)] == []
    for attempt in wrong:
        store.delete(attempt)
        store.keep_files(attempt, {("scores", "modern", "HEAT"): b"mine"})
        assert store.files(attempt, ("scores", "modern")) == []
    assert store.find(token)
    assert not [path for path in store.folder.parent.rglob("*") if path.name == "HEAT"]
    assert (store.folder.parent / "secret.txt").read_text() == "not yours"


def test_the_folder_tells_no_link_and_is_the_servers_alone(store: KeptUploads, pack: Pack) -> None:
    token = store.keep(pack, "a key").token
    store.keep_files(token, {("scores", "../x", "../../HEAT"): b"scores"})
    assert len(store.files(token, ("scores", "../x"))) == 1
    assert store.folder.stat().st_mode & 0o077 == 0
    for path in store.folder.rglob("*"):
        assert token not in path.name
        assert path.is_dir() or token.encode() not in path.read_bytes()
        assert path.suffix in ("", ".json", ".safetensors")
        assert not path.name.startswith("..")


def test_a_symlink_is_not_followed(store: KeptUploads, pack: Pack, tmp_path: Path) -> None:
    kept = store.keep(pack, "a key")
    entry = next(store.folder.iterdir())
    entry.rename(tmp_path / "moved")
    entry.symlink_to(tmp_path / "moved")
    assert store.find(kept.token) is None
    store.delete(kept.token)
    (tmp_path / "moved" / "kept.json").write_text(json.dumps({"key": "a", "until": 0}))
    store.tend()
    assert not entry.is_symlink()  # the link is cleared away, and what it led to is left alone
    assert (tmp_path / "moved" / "pack" / "card.json").is_file()


def test_what_is_deleted_is_gone_at_once_and_comes_back_by_nothing(
    store: KeptUploads, pack: Pack
) -> None:
    kept, other = store.keep(pack, "a key"), store.keep(pack, "a key")
    store.delete(kept.token)
    store.keep_files(kept.token, {("scores", "HEAT"): b"scores"})
    assert store.find(kept.token) is None
    with pytest.raises(ValueError, match="not a pack"):
        store.read(kept)
    assert len(list(store.folder.iterdir())) == 1
    assert store.find(other.token)


def test_what_is_over_the_quota_is_refused_in_one_line(
    store: KeptUploads, pack: Pack, clock: Clock
) -> None:
    size = store.keep(pack, "a key").size
    full = KeptUploads(store.folder, days=2, quota=int(1.5 * size), now=clock)
    with pytest.raises(
        NotKept, match="the server keeps 0 MB of uploads at most, of which"
    ) as caught:
        full.keep(pack, "a key")
    assert "\n" not in str(caught.value)
    clock.now += 3 * DAY_SECONDS
    assert full.keep(pack, "a key")  # what has expired makes room


def test_what_a_killed_server_was_writing_is_cleared_away(store: KeptUploads, pack: Pack) -> None:
    store.keep(pack, "a key")
    part = store.folder / ".0123.part"
    part.mkdir()
    os.utime(part, (0, 0))
    store.tend()
    assert not part.exists()
    assert len(list(store.folder.iterdir())) == 1


def test_damaged_scores_and_those_of_another_version_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "HEAT.safetensors"
    content = encode_scores(SCORES)
    file.write_bytes(content[:-1])
    assert decode_scores(file) is None
    monkeypatch.setattr("app.pack.kept_results.__version__", "0.0.0")
    file.write_bytes(content)
    assert decode_scores(file) is None
    assert decode_scores(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("settings", "is_on"),
    [
        ({}, False),
        ({"HEAT_KEEP": "FOLDER"}, True),
        ({"HEAT_KEEP": "FOLDER", "HEAT_KEEP_DAYS": "0"}, False),
        ({"HEAT_KEEP_DAYS": "3"}, False),
    ],
)
def test_the_operator_says_where_and_for_how_long(
    settings: dict[str, str], is_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEAT_KEEP", "HEAT_KEEP_DAYS", "HEAT_KEEP_MB"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value.replace("FOLDER", str(tmp_path)))
    store = kept_uploads()
    assert (store is not None) == is_on
    if store is not None:
        assert (store.folder, store.days, store.quota) == (tmp_path, 7, 4096 * MB)
