"""Maps: classes stay together, the figure of trust is right, and the pack keeps everything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heat_core.features import Features
from heat_core.pack import ExtraID, Pack, read_pack, write_pack
from heat_core.projection import project_pack, project_rows, trustworthiness_of
from tests.samples import clusters


@pytest.fixture
def pack(train: Features, test: Features, far: Features) -> Pack:
    return Pack(train, test, {("far", "noise"): far}, ExtraID(), {"title": "t"}, {"test": b"sheet"})


@pytest.mark.parametrize("method", ["umap", "pca"])
def test_a_pack_gets_a_map(pack: Pack, method: str, tmp_path) -> None:
    placed = project_pack(pack, method, seed=3)
    again = project_pack(pack, method, seed=3)
    for name, features in placed.sets():
        assert features.views["map"].shape == (len(features), 2)
        assert features.views["map"].dtype == torch.float32
        assert torch.equal(features.views["map"], dict(again.sets())[name].views["map"])
        assert torch.equal(features.z, dict(pack.sets())[name].z)
    assert placed.card["map"]["rows"] == 350
    assert placed.card["map"]["method"] == method
    assert placed.card["map"]["trustworthiness"] > 0.75
    write_pack(placed, tmp_path / "pack")
    back = read_pack(tmp_path / "pack")
    assert back.card["map"] == placed.card["map"]
    assert back.thumbnails == pack.thumbnails
    assert torch.equal(back.test.views["map"], placed.test.views["map"])


def test_umap_keeps_classes_together() -> None:
    z, y = clusters(200, seed=4)
    rows = (z / z.norm(dim=1, keepdim=True)).numpy()
    places, labels = project_rows(rows), y.numpy()
    apart = ((places[:, None] - places[None]) ** 2).sum(-1)
    np.fill_diagonal(apart, np.inf)
    assert (labels[apart.argmin(1)] == labels).mean() > 0.95


def test_trust_is_one_for_the_rows_themselves_and_chance_for_noise() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(500, 2)).astype(np.float32)
    assert trustworthiness_of(rows, rows) == 1.0
    assert trustworthiness_of(rows, random.permutation(rows)) == pytest.approx(0.5, abs=0.05)


def test_bad_wishes_are_refused() -> None:
    with pytest.raises(ValueError, match="method must be one of umap, pca; got 'tsne'"):
        project_rows(np.zeros((50, 3), np.float32), "tsne")
    with pytest.raises(ValueError, match="more than 15 rows, got 15"):
        project_rows(np.zeros((15, 3), np.float32))


def test_whoever_asked_hears_how_far_it_is_and_can_end_it() -> None:
    rows, heard = clusters(200, seed=4)[0].numpy(), []
    project_rows(rows, on_progress=heard.append)
    assert heard == sorted(heard)
    assert (heard[0], heard[-1]) == (0.0, 1.0)

    def enough(progress: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        project_rows(rows, on_progress=enough)
