"""What figures rest on is said, and doubted where it should be: on a network that is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from heat_core.assumptions import Note, notes_on, notes_on_card
from heat_core.explain import class_mahalanobis
from heat_core.features import Features, Head
from heat_core.pack import NO_EXTRA, ExtraID, Pack

ROWS, DIM, CLASSES = 3000, 24, 6


def drawn(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns features whose classes overlap, and their labels, which take turns."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % CLASSES
    centres = torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(99))
    return 0.4 * centres[y] + torch.randn(rows, DIM, generator=generator), y


def overfit_head(z: Tensor, y: Tensor) -> Head:
    """Returns the least-squares head of few rows: surer of them than of new ones."""
    target = torch.nn.functional.one_hot(y, CLASSES).double() - 1 / CLASSES
    weight = torch.linalg.lstsq(z.double(), target).solution.T.float()
    return Head(weight.contiguous(), torch.zeros(CLASSES))


@pytest.fixture(scope="module")
def pack() -> Pack:
    z, y = drawn(90, 0)
    test = Features(*drawn(ROWS, 1))
    far = {("far", "a"): Features(torch.randn(20, DIM))}
    return Pack(Features(z, y, overfit_head(z, y)), test, far, NO_EXTRA, {})


def note_of(pack: Pack, part: str) -> Note:
    (note,) = (note for note in notes_on(pack) if note.part == part)
    return note


def test_a_head_that_belongs_to_the_labels_is_not_doubted(pack: Pack) -> None:
    train = pack.train
    assert train.head is not None
    accuracy = (train.head.logits(train.z).argmax(1) == train.y).double().mean()
    note = note_of(pack, "Head and labels")
    assert note.found == f"agree on {100 * float(accuracy):.1f} % of 90 training rows"
    assert not note.is_warning


def test_a_head_of_other_classes_is_doubted(pack: Pack) -> None:
    head = pack.train.head
    assert head is not None
    moved = Head(head.weight.roll(1, 0), head.bias)
    note = note_of(replace(pack, train=replace(pack.train, head=moved)), "Head and labels")
    assert note.is_warning
    assert "one class for all would agree on 16.7 %" in note.so
    assert "\n" not in str(note)


def test_of_a_pack_without_a_head_nothing_is_said_of_it(pack: Pack) -> None:
    headless = replace(pack, train=replace(pack.train, head=None))
    assert notes_on(headless) == ()


PART = "Held-out ID and the network"


def test_images_that_the_network_never_saw_are_not_doubted(pack: Pack) -> None:
    held_out = replace(pack, extra=ExtraID(Features(*drawn(ROWS, 2))))
    note = note_of(held_out, PART)
    assert not note.is_warning, note
    assert note.so == "nothing says that the network was trained on val"


def test_images_that_the_network_was_trained_on_are_doubted_with_labels_and_without(
    pack: Pack,
) -> None:
    seen = replace(pack.train, head=None)
    note = note_of(replace(pack, extra=ExtraID(seen)), PART)
    assert note.is_warning
    assert "as if the network was trained on it" in note.so
    assert "right on" in note.found
    unlabelled = replace(
        pack, test=replace(pack.test, y=None), extra=ExtraID(replace(seen, y=None))
    )
    note = note_of(unlabelled, PART)
    assert note.is_warning
    assert "right on" not in note.found


def test_held_out_images_that_are_unlike_test_are_doubted_the_other_way(pack: Pack) -> None:
    z, y = drawn(ROWS, 2)
    note = note_of(replace(pack, extra=ExtraID(Features(0.3 * z, y))), PART)
    assert note.is_warning
    assert "further from the training images than test" in note.so


def test_families_of_no_known_kind_are_named(pack: Pack) -> None:
    some = Features(torch.randn(5, DIM))
    known = {"blur": some, "composed": some}
    part = "Families of no known kind"
    assert part not in [note.part for note in notes_on(replace(pack, extra=ExtraID(None, known)))]
    extra = ExtraID(None, known | {"blurry": some}, {"jigsaw": some})
    note = note_of(replace(pack, extra=extra), part)
    assert note.is_warning
    assert note.found == "blurry, jigsaw"


def test_a_card_says_what_was_left_out_normalised_and_checked(pack: Pack) -> None:
    card = {
        "sets": {"far_a": {"title": "holidays", "skipped_files": "36 of 40 files left out"}},
        "classifier": {
            "architecture": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
            "logits_difference": 0.0004,
        },
    }
    assert [str(note) for note in notes_on_card(replace(pack, card=card))] == [
        "Warning: Files of holidays: 36 of 40 files left out.",
        "Images: normalised by the means 0.5, 0.5, 0.5 and deviations 0.25, 0.25, 0.25 of pixels "
        "in [0, 1].",
        "Logits of the head: within 0.04 % of the network's own, checked at extraction.",
    ]
    card["classifier"]["mirror"] = True
    assert [str(note) for note in notes_on_card(replace(pack, card=card))][2:] == [
        "Mirror images: features are means over an image and its mirror image; scores take two "
        "passes of the network, published figures one.",
        "Logits of the head: within 0.04 % of the network's own (both are means over an image and "
        "its mirror image), checked at extraction.",
    ]
    card["classifier"]["logits_difference"] = 0.3
    note = notes_on_card(replace(pack, card=card))[-1]
    assert note.is_warning
    assert "up to 30 % off the network's own" in note.found


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, True])
def test_an_odd_card_says_nothing(odd: object, pack: Pack) -> None:
    classifier = {"architecture": odd, "logits_difference": odd}
    assert notes_on_card(replace(pack, card={"classifier": classifier})) == ()
    odd_numbers = {"architecture": {"mean": odd, "std": odd}}
    for note in notes_on_card(replace(pack, card={"classifier": odd_numbers})):
        assert note.part == "Images"


def test_classes_that_are_fitted_already_are_not_fitted_again(
    pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = replace(pack.train, head=None)
    headless = replace(pack, train=seen, extra=ExtraID(seen))
    wanted, fitted = notes_on(headless), class_mahalanobis(seen)
    monkeypatch.setattr("heat_core.assumptions.class_mahalanobis", None)
    assert notes_on(headless, fitted) == wanted
    with pytest.raises(TypeError):
        notes_on(headless)
