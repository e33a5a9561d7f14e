"""What a bundle says of a row, and how an image becomes one, as modules that torch can export.

A row that the library refuses cannot be refused within a graph. It is called out-of-distribution,
and marked: its score is nan, its p-value 0.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from heat_core.bundles import Bundle
from heat_core.bundles.bundle import pack_fingerprint
from heat_core.features import MAX_ABS
from heat_core.images.extract import Extractor
from heat_core.images.pack_network import extractor_of
from heat_core.pack import Pack

READABLE = ("z", "std", "early")  # what a network gives of an image without a gradient
REFUSED_CLASS = -1  # of a row that is none


class DecisionGraph(nn.Module):
    """Decides about rows: score, p-value, threshold, whether it is out, and the class.

    Args:
        bundle: of the energy, the head, and how many classes have thresholds.

    >>> from heat_core.bundles import bundle_of
    >>> from heat_core.detectors.closed_form import MoG
    >>> from heat_core.features import Features
    >>> from heat_core.pack import NO_EXTRA
    >>> from heat_core.run import fit
    >>> from heat_core.thresholds import Conformal
    >>> z = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    >>> y = torch.arange(400) % 2
    >>> train, test = Features(z[:200], y[:200]), Features(z[200:], y[200:])
    >>> pack = Pack(train, test, {("far", "a"): Features(9 + z)}, NO_EXTRA, {})
    >>> bundle = bundle_of(fit(MoG(normalize=False), train), pack, Conformal(0.9))
    >>> rows = torch.tensor([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0], [torch.nan, 0.0, 0.0]])
    >>> decisions = DecisionGraph(bundle)([rows], *decision_inputs(bundle).values())
    >>> score, p_value, threshold, is_ood = decisions
    >>> is_ood.tolist(), p_value.round(decimals=2).tolist(), score.isnan().tolist()
    ([False, True, True], [1.0, 0.01, 0.0], [False, False, True])
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.energy = copy.deepcopy(bundle.energy).cpu().eval()
        self.dtype = input_dtype(bundle)
        self.names = input_names(bundle)
        self.views = bundle.detector.input_views(bundle.shape)
        self.by_class = bool(bundle.decision.by_class)
        self.has_head = bundle.head is not None
        if bundle.head is not None:
            self.register_buffer("weight", bundle.head.weight.detach().cpu().to(self.dtype))
            self.register_buffer("bias", bundle.head.bias.detach().cpu().to(self.dtype))

    def forward(
        self,
        arrays: Sequence[Tensor],
        thresholds: Tensor,
        calibration: Tensor,
        classes: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Returns score, p_value, threshold, is_ood and, with a head, predicted; (N,) each.

        Args:
            arrays: (N, d') each, by the names of `input_names`.
            thresholds: one, (), or one a class, (C,); nan of a class without one.
            calibration: ID scores, (n,).
            classes: of these, (n,), where each class has its threshold.
        """
        by_name = {
            name: array.to(self.dtype) for name, array in zip(self.names, arrays, strict=True)
        }
        is_row = torch.stack([_is_row(array) for array in by_name.values()]).all(0)
        score = self.energy(torch.cat([by_name[name] for name in self.views], 1)).double()
        is_sound = is_row & (score.abs() < math.inf)
        predicted = self._predicted(by_name["z"], is_row) if self.has_head else None
        if self.by_class:
            assert predicted is not None
            threshold = torch.where(predicted >= 0, thresholds[predicted.clamp(min=0)], torch.nan)
            is_sound = is_sound & ~threshold.isnan()
            p_value = _p_values(score, calibration, classes == predicted[:, None])
        else:
            threshold = thresholds.expand_as(score)
            p_value = _p_values(score, calibration)
        score = torch.where(is_sound, score, torch.nan)
        p_value = torch.where(is_sound, p_value, 0.0)
        decisions = (score, p_value, threshold, ~(score <= threshold))
        return decisions if predicted is None else (*decisions, predicted)

    def _predicted(self, z: Tensor, is_row: Tensor) -> Tensor:
        """Returns the class that the head tells of z (N, d), (N,), of those that are rows (N,)."""
        logits = z @ self.weight.T + self.bias
        return torch.where(is_row, logits.argmax(1), REFUSED_CLASS)


def _is_row(array: Tensor) -> Tensor:
    """Returns which rows of an array (N, d) are finite, and not beyond what features are, (N,)."""
    return (array.abs() <= MAX_ABS).all(1)


def _p_values(score: Tensor, calibration: Tensor, counts: Tensor | None = None) -> Tensor:
    """Returns (1 + how many calibration scores are as high) / (n + 1) of scores (N,), (N,).

    Args:
        calibration: (n,), in any order.
        counts: (N, n) which of them count for a row; all by default.
    """
    is_as_high = calibration >= score[:, None]
    if counts is None:
        return (1 + is_as_high.sum(1)).double() / (1 + calibration.shape[0])
    return (1 + (is_as_high & counts).sum(1)).double() / (1 + counts.sum(1))


def input_names(bundle: Bundle) -> tuple[str, ...]:
    """Returns which arrays a decision reads: the detector's views, and z for a class."""
    views = tuple(bundle.detector.input_views(bundle.shape))
    return views if bundle.head is None or "z" in views else ("z", *views)


def input_dtype(bundle: Bundle) -> torch.dtype:
    """Returns the precision of the energy; float64 of one that is a score computed elsewhere."""
    tensors = bundle.energy.state_dict().values()
    floats = (tensor.dtype for tensor in tensors if tensor.is_floating_point())
    return next(floats, torch.float64)


def decision_inputs(bundle: Bundle) -> dict[str, Tensor]:
    """Returns the bundle's own threshold and calibration scores, by the names of graph inputs."""
    calibration = bundle.calibration
    scores = torch.from_numpy(np.sort(calibration.inside))
    by_class = bundle.decision.by_class
    if not by_class:
        threshold = torch.tensor(bundle.decision.threshold, dtype=torch.float64)
        return {"threshold_for_all": threshold, "calibration_scores": scores}
    assert bundle.head is not None  # a rule by class has been refused without one
    assert calibration.predicted is not None
    thresholds = torch.full((len(bundle.head.bias),), torch.nan, dtype=torch.float64)
    for label, threshold in by_class.items():
        thresholds[label] = threshold
    classes = calibration.predicted[np.argsort(calibration.inside)]
    return {
        "threshold_by_class": thresholds,
        "calibration_scores": scores,
        "calibration_classes": torch.from_numpy(classes),
    }


# -- images ----------------------------------------------------------------------------------------


class ImageReader(nn.Module):
    """Reads images as those of a pack were read: the arrays that a decision takes.

    Args:
        extractor: of the pack's network, without ODIN's score.
        names: of the arrays, some of `READABLE`.
    """

    def __init__(self, extractor: Extractor, names: Sequence[str]) -> None:
        super().__init__()
        self.extractor = extractor
        self.names = tuple(names)
        self.network = extractor.network.eval()
        early_layer = extractor.early_layer
        self.early_energy = None if early_layer is None else early_layer.energy

    @classmethod
    def of(cls, bundle: Bundle, pack: Pack, weights: Path) -> Self:
        """Returns the reader of images for a bundle.

        Args:
            bundle: made of the pack.
            pack: that says how images were read.
            weights: the network that it was extracted with.

        Raises ValueError if the pack or the network is another one, or the detector reads what
        takes a gradient.
        """
        names = input_names(bundle)
        others = [name for name in names if name not in READABLE]
        if others:
            reason = " takes a gradient" if others == ["odin"] else " is no output of the network"
            raise ValueError(
                f"{bundle.detector.name} reads {others[0]}, which{reason}: it cannot be exported "
                "with images, only without."
            )
        sha256 = pack_fingerprint(pack)
        if sha256 != bundle.pack_sha256:
            raise ValueError(
                f"the bundle was made of another pack: {bundle.pack_title} "
                f"({bundle.pack_sha256[:12]}); got {pack.title} ({sha256[:12]})."
            )
        extractor = extractor_of(pack, weights)
        early_layer = extractor.early_layer if "early" in names else None
        extractor = replace(
            extractor, std="std" in names, odin=False, early_layer=early_layer, device="cpu"
        )
        return cls(extractor, names)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Returns the arrays, (N, d') each, as precise as the pack's features.

        Args:
            pixels: (N, H, W, 3) uint8.
        """
        views = self.extractor.read(pixels.permute(0, 3, 1, 2))
        stored = {
            name: views[name] if name == "early" else views[name].to(self.extractor.dtype)
            for name in self.names
        }
        return list(stored.values())


class ImageDecisionGraph(nn.Module):
    """Decides about images: reads them, then decides about the rows.

    Args:
        reader: of images.
        decide: about what it reads.
    """

    def __init__(self, reader: ImageReader, decide: DecisionGraph) -> None:
        super().__init__()
        self.reader = reader
        self.decide = decide

    def forward(self, pixels: Tensor, *decision: Tensor) -> tuple[Tensor, ...]:
        """Returns what `DecisionGraph` says of images (N, H, W, 3) uint8, (N,) each.

        Args:
            decision: as `decision_inputs` gives it.
        """
        return self.decide(self.reader(pixels), *decision)
