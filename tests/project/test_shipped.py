"""The pack that ships is what its classifier makes of the images, and as good as its card says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from heat_core.images import classifier, datasets
from heat_core.images.extract import extract
from heat_core.judge import Judge, classifier_file
from heat_core.pack import Pack, read_pack

ROOT = Path(__file__).parents[2]
PACK = ROOT / "assets" / "packs" / "cifar10-resnet18"
IMAGES = [Path(os.environ.get("HEAT_DATA", ROOT / "data"))]
ROWS = int(os.environ.get("HEAT_ROWS", "512"))
"""Images that are extracted again. All take some minutes on two cores:
`HEAT_ROWS=10000 pytest tests/project/test_shipped.py`."""


@pytest.fixture(scope="module")
def pack() -> Pack:
    return read_pack(PACK)


def test_the_head_on_the_packs_features_is_as_accurate_as_the_card_says(pack: Pack) -> None:
    head, y = pack.train.head, pack.test.y
    assert head is not None
    assert y is not None
    correct = (pack.test.z.float() @ head.weight.T + head.bias).argmax(1) == y
    stated = pack.card["classifier"]["test_accuracy"]
    assert len(y) == 10_000
    assert stated == pytest.approx(0.9299, abs=5e-5)
    assert float(correct.double().mean()) == pytest.approx(
        stated, abs=2e-4
    )  # float16 may turn a tie or two


def test_the_classifier_beside_the_pack_is_the_one_on_its_card(pack: Pack) -> None:
    network, architecture, training_info = classifier.load(classifier_file(PACK))
    assert classifier.fingerprint(network) == pack.card["classifier"]["weights"]
    assert training_info["test_accuracy"] == pack.card["classifier"]["test_accuracy"]
    assert list(architecture.channels or ()) == pack.card["classifier"]["architecture"]["channels"]


def test_extraction_gives_the_packs_test_features_again(pack: Pack) -> None:
    """To float16 rounding: another machine adds up in another order.

    So a value may fall to the other side of a half.
    """
    try:
        images = datasets.read_images("cifar10", IMAGES, "test")
    except FileNotFoundError:
        pytest.skip(
            "CIFAR-10 is not there: python -m heat_core fetch cifar10 gets it "
            "(or set HEAT_DATA to its folder)"
        )
    assert pack.test.index is not None
    rows = pack.test.index[:ROWS].numpy()
    again = extract(Judge(pack, classifier_file(PACK)).extractor, images, rows)
    stored_rows = pack.test.take(torch.arange(len(rows)))
    assert again.y is not None
    assert stored_rows.y is not None
    assert torch.equal(again.y, stored_rows.y)
    for extracted, stored in (
        (again.z, stored_rows.z),
        (again.view("std").z, stored_rows.view("std").z),
    ):
        assert extracted.dtype == stored.dtype == torch.float16
        assert torch.allclose(extracted.float(), stored.float(), rtol=2**-9, atol=1e-5)
        assert (extracted == stored).float().mean() > 0.9
    assert torch.allclose(again.views["odin"], stored_rows.views["odin"], rtol=0, atol=2e-5)
