"""What the figures of a pack rest on without saying it, each in one line, with a warning in doubt.

Whether head and labels belong together, whether the network has seen the held-out images, which
pseudo-OOD families are of no known kind; and, of an extracted pack, which files were left out, how
images were normalised, whether features are means over mirror images, and whether the head's logits
are the network's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .energies import Normalized
from .explain import assign, class_mahalanobis
from .features import Features, features_sha256
from .images.classifier import normalisation_text
from .images.pseudo import FAMILIES, TWO_FAMILIES
from .metrics import separation
from .pack import MIRROR, MIRRORED, Pack
from .splits import sample

if TYPE_CHECKING:
    from .run import Run

ROWS = 5000  # of a set that are looked at
CHANCE_MARGIN = 0.1  # of the way from chance to always right: a head below it is doubted
ERRORS = 3.0  # standard errors beyond which a difference is no accident
LEAST_DIFFERENCE = 0.01  # in AUROC or accuracy: a smaller one does no harm
LOGITS_TOLERANCE = 0.01  # of the largest logit; float16 features round at a tenth of it


class Note(NamedTuple):
    """A thing that figures rest on: what it is about, what was found, what follows from it.

    >>> print(Note("Head and labels", "agree on 98.0 % of 5,000 training rows"))
    Head and labels: agree on 98.0 % of 5,000 training rows.
    """

    part: str
    found: str
    so: str = ""
    is_warning: bool = False

    def __str__(self) -> str:
        """The note in a line."""
        warning = "Warning: " if self.is_warning else ""
        so = f"; {self.so}" if self.so else ""
        return f"{warning}{self.part}: {self.found}{so}."


def notes_on(pack: Pack, mahalanobis: Normalized | None = None) -> tuple[Note, ...]:
    """Returns what the figures of a pack rest on, those of its card first.

    Args:
        mahalanobis: as `explain.class_mahalanobis` returns it, where it is at hand; a pack with
            `val` and no head wants it.
    """
    return *notes_on_card(pack), *notes_on_features(pack, mahalanobis)


def notes_on_features(pack: Pack, mahalanobis: Normalized | None = None) -> tuple[Note, ...]:
    """Returns what features, head and labels of a pack say of themselves.

    Args:
        mahalanobis: as `notes_on` takes it.
    """
    return (
        *_head_and_labels(pack.train),
        *_val_and_network(pack, mahalanobis),
        *_unknown_families(pack),
    )


def notes_on_run(run: Run, pack: Pack) -> tuple[Note, ...]:
    """Returns a warning where a run was fitted to other features than a pack's; else nothing."""
    if run.train_sha256 in ("", features_sha256(pack.train)):
        return ()
    return (
        Note(
            "Run and pack",
            f"the run was fitted to other training features than those of {pack.title}",
            "a threshold is of this pack's held-out rows all the same, and `check` will not find "
            "it again",
            is_warning=True,
        ),
    )


def notes_on_card(pack: Pack) -> tuple[Note, ...]:
    """Returns what the card of an extracted pack says of its extraction."""
    classifier = pack.card.get("classifier", {})
    return (
        *_left_out(pack),
        *_normalisation(classifier),
        *_mirror(pack),
        *logits_notes(classifier),
    )


# -- the card --------------------------------------------------------------------------------------


def _left_out(pack: Pack) -> Iterator[Note]:
    for name, entry in pack.card.get("sets", {}).items():
        text = entry.get("skipped_files")
        if text:
            yield Note(f"Files of {pack.title_of(name)}", str(text), is_warning=True)


def _normalisation(classifier: dict[str, Any]) -> Iterator[Note]:
    architecture = classifier.get("architecture")
    if not isinstance(architecture, dict):
        return
    mean, std = architecture.get("mean"), architecture.get("std")
    if isinstance(mean, list | tuple) and isinstance(std, list | tuple):
        yield Note("Images", normalisation_text(mean, std))


def _mirror(pack: Pack) -> Iterator[Note]:
    if pack.is_mirrored:
        so = "scores take two passes of the network, published figures one"
        yield Note("Mirror images", MIRRORED, so)


def logits_notes(classifier: dict[str, Any]) -> Iterator[Note]:
    """Gives a note on whether the head's logits are the network's own, where that was checked.

    Args:
        classifier: of a card; `logits_difference` is the largest difference, relative to the
            largest logit; `mirror` whether both were means over an image and its mirror image.
    """
    difference = classifier.get("logits_difference")
    if not isinstance(difference, float):
        return
    own = "the network's own"
    if classifier.get(MIRROR) is True:
        own += " (both are means over an image and its mirror image)"
    if difference <= LOGITS_TOLERANCE:
        text = f"within {100 * difference:.2g} % of {own}, checked at extraction"
        yield Note("Logits of the head", text)
        return
    found = f"up to {100 * difference:.2g} % off {own}, checked at extraction"
    so = "MSP and Energy are not what the network says; its last layer is more than a product"
    yield Note("Logits of the head", found, so, is_warning=True)


# -- head and labels -------------------------------------------------------------------------------


def _head_and_labels(train: Features) -> Iterator[Note]:
    if train.head is None or train.y is None:
        return
    rows = sample(train, ROWS)
    accuracy = _agreement_of(train, rows).accuracy
    shares = torch.bincount(train.class_index) / len(train)
    chance = float(shares.max())
    found = f"agree on {_percent(accuracy)} of {len(rows):,} training rows"
    if accuracy > chance + CHANCE_MARGIN * (1 - chance):
        yield Note("Head and labels", found)
        return
    so = (
        f"one class for all would agree on {_percent(chance)}: weight and bias are of another "
        "network than the features, or the labels are numbered otherwise"
    )
    yield Note("Head and labels", found, so, is_warning=True)


class _Agreement(NamedTuple):
    """How well rows fit the classes: accuracy (nan without labels) and margins (n,) float64."""

    accuracy: float
    margins: NDArray[np.float64]


def _agreement_of(
    train: Features, rows: Features, mahalanobis: Normalized | None = None
) -> _Agreement:
    """Returns how well rows fit the classes of training features.

    Args:
        mahalanobis: as `explain.assign` takes it.
    """
    assignments = assign(train, rows, mahalanobis)
    accuracy = math.nan
    if rows.y is not None:
        accuracy = float((assignments.classes == rows.y.cpu().numpy()).mean())
    return _Agreement(accuracy, assignments.margins)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


# -- held-out images and the network ---------------------------------------------------------------


def _val_and_network(pack: Pack, mahalanobis: Normalized | None) -> Iterator[Note]:
    """Gives a note on whether the network has seen `val`: it is surer there, and more often right.

    A threshold that keeps 95 % of such a `val` keeps less of `test`.

    Args:
        mahalanobis: as `explain.assign` takes it.
    """
    val = pack.extra.val
    if val is None:
        return
    part = "Held-out ID and the network"
    train = pack.train
    if train.head is None and mahalanobis is None:
        mahalanobis = class_mahalanobis(train)
    of_val, of_test = (
        _agreement_of(train, sample(features, ROWS), mahalanobis) for features in (val, pack.test)
    )
    # Test images outside: above one half where the network is surer of val.
    surer = separation(-of_val.margins, -of_test.margins)
    gap = surer.auroc - 0.5
    found = f"AUROC of test against val {surer.auroc:.3f}"
    counts = len(of_val.margins), len(of_test.margins)
    accuracy_gap, accuracy_error = _difference(of_val.accuracy, of_test.accuracy, *counts)
    if not math.isnan(accuracy_gap):
        found += f", right on {_percent(of_val.accuracy)} of val and "
        found += f"{_percent(of_test.accuracy)} of test"
    if _is_large(gap, surer.auroc_error) or _is_large(accuracy_gap, accuracy_error):
        so = (
            "val looks as if the network was trained on it: thresholds chosen on it are too tight, "
            "and it must not choose settings"
        )
        yield Note(part, found, so, is_warning=True)
    elif _is_large(-gap, surer.auroc_error) or _is_large(-accuracy_gap, accuracy_error):
        so = "val is further from the training images than test: thresholds chosen on it are loose"
        yield Note(part, found, so, is_warning=True)
    else:
        yield Note(part, found, "nothing says that the network was trained on val")


def _difference(one: float, other: float, n: int, m: int) -> tuple[float, float]:
    """Returns the difference of two shares, of n and of m rows, and its standard error."""
    pooled = (n * one + m * other) / (n + m)
    return one - other, math.sqrt(max(pooled * (1 - pooled), 0.0) * (1 / n + 1 / m))


def _is_large(difference: float, error: float) -> bool:
    return difference > max(ERRORS * error, LEAST_DIFFERENCE)


# -- families --------------------------------------------------------------------------------------


def _unknown_families(pack: Pack) -> Iterator[Note]:
    names = dict.fromkeys([*pack.extra.pseudo, *pack.extra.pseudoval])
    unknown = [name for name in names if name not in FAMILIES and name != TWO_FAMILIES]
    if unknown:
        so = (
            "each counts as a kind of its own, so settings may be judged by what training saw "
            "under another name"
        )
        yield Note("Families of no known kind", ", ".join(unknown), so, is_warning=True)
