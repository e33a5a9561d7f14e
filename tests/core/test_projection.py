"""Maps: classes stay together, the figure of trust is right, and the pack keeps everything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heat_core.features import Features
from heat_core.pack import ExtraID, Pack, read_pack, write_pack
from heat_core.projection import lay_out, lay_out_rows, trustworthiness_of
from heat_core.set_name import SetName
from tests.samples import clusters


@pytest.fixture
def pack(train: Features, test: Features, far: Features) -> Pack:
    return Pack(
        train, test, {SetName("far", "noise"): far}, ExtraID(), {"title": "t"}, {"test": b"sheet"}
    )


@pytest.mark.parametrize("method", ["umap", "pca"])
def test_a_pack_gets_a_map(pack: Pack, method: str, tmp_path) -> None:
    mapped = lay_out(pack, method, seed=3)
    repeated = lay_out(pack, method, seed=3)
    for name, features in mapped.sets():
        assert features.views["map"].shape == (len(features), 2)
        assert features.views["map"].dtype == torch.float32
        assert torch.equal(features.views["map"], dict(repeated.sets())[name].views["map"])
        assert torch.equal(features.z, dict(pack.sets())[name].z)
    assert mapped.card["map"]["rows"] == 350
    assert mapped.card["map"]["method"] == method
    assert mapped.card["map"]["trustworthiness"] > 0.75
    write_pack(mapped, tmp_path / "pack")
    loaded = read_pack(tmp_path / "pack")
    assert loaded.card["map"] == mapped.card["map"]
    assert loaded.thumbnails == pack.thumbnails
    assert torch.equal(loaded.test.views["map"], mapped.test.views["map"])


def test_umap_keeps_classes_together() -> None:
    z, y = clusters(200, seed=4)
    rows = (z / z.norm(dim=1, keepdim=True)).numpy()
    positions, labels = lay_out_rows(rows), y.numpy()
    distances = ((positions[:, None] - positions[None]) ** 2).sum(-1)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(1)] == labels).mean() > 0.95


def test_trust_is_one_for_the_rows_themselves_and_chance_for_noise() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(500, 2)).astype(np.float32)
    assert trustworthiness_of(rows, rows) == 1.0
    assert trustworthiness_of(rows, random.permutation(rows)) == pytest.approx(0.5, abs=0.05)


def test_a_method_or_rows_without_a_map_are_refused() -> None:
    with pytest.raises(ValueError, match="method must be one of umap, pca; got 'tsne'"):
        lay_out_rows(np.zeros((50, 3), np.float32), "tsne")
    with pytest.raises(ValueError, match="more than 15 rows, got 15"):
        lay_out_rows(np.zeros((15, 3), np.float32))


def test_progress_is_reported_and_can_end_the_layout() -> None:
    rows, reports = clusters(200, seed=4)[0].numpy(), []
    lay_out_rows(rows, on_progress=reports.append)
    assert reports == sorted(reports)
    assert (reports[0], reports[-1]) == (0.0, 1.0)

    def interrupt(progress: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        lay_out_rows(rows, on_progress=interrupt)
