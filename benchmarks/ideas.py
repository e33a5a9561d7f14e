"""Ideas beyond the presets, each measured.

The criterion of ID images alone decides, and the OOD sets report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from heat_core.detectors.composed import Composed
from heat_core.detectors.detector import Detector, Shape
from heat_core.detectors.heat import GMM, HEAT, PRIOR, balance
from heat_core.detectors.learned_energy import FitContext, FromPseudoOOD, Perceptron
from heat_core.energies import Energy, score
from heat_core.features import Features
from heat_core.metrics import auroc
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.results.formats import markdown
from heat_core.training.trainer import OnRecord, TrainConfig, ignore

from .study import Figures, figures_of, shipped_pack
from .timing import Options

SEEDS = 3
HEADING = (
    "# Ideas beyond the presets\n\n"
    "Printed by `python -m benchmarks ideas`. The criterion, which sees ID images alone, decides; "
    "OOD sets are looked at here to\nreport. It compares settings of one detector, so HEAT-GMM "
    "with HEAT-GMM, HEAT with HEAT, and Composed with Composed."
)
WIDE = FromPseudoOOD(
    Perceptron(256, 3), training=TrainConfig(steps=500, batch=768, lr=1e-3, weight_decay=1e-2)
)
# by model_selection.choose_weights from all terms but ODIN, as two of three seeds have it
WEIGHED = Composed(
    w_correction=0.5,
    w_mog=0.0,
    w_std_view=1.0,
    w_energy=2.0,
    w_early_layer=0.75,
    w_knn=0.25,
    correction=FromPseudoOOD(network_count=3),
)


@dataclass(frozen=True)
class Refined(HEAT):
    """HEAT whose pseudo-OOD features are refined by a first fit, and join the negatives.

    They walk a few noisy steps down the total energy.

    Args:
        walk_steps: how many.
        stride: of a step along the gradient, and of its noise, as a share of the feature's length.
    """

    walk_steps: int = 5
    stride: float = 0.02

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        first_fit = super().fit(train, seed, on_record, extra)
        views = self.input_views(Shape.of(train))
        generator = torch.Generator().manual_seed(seed)
        refined = {}
        for name, family in extra.pseudo.items():
            widths = [Shape.of(family).width(view) for view in views]
            inputs = self._walk(first_fit, family.columns(views).float(), generator)
            z, *view_columns = inputs.split(widths, 1)
            of_views = dict(zip(views[1:], view_columns, strict=True))
            refined[f"{name} refined"] = Features(z, views=of_views)
        extra = replace(extra, pseudo={**extra.pseudo, **refined})
        return super().fit(train, seed, on_record, extra)

    def _walk(self, energy: Energy, x: Tensor, generator: torch.Generator) -> Tensor:
        """Returns where inputs (N, d) of an energy end, (N, d)."""
        for _ in range(self.walk_steps):
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(energy(x).sum(), x)
            noise = torch.randn(x.shape, generator=generator)
            length = self.stride * x.norm(dim=1, keepdim=True)
            downhill = nn.functional.normalize(slope, dim=1)
            x = x - length * (downhill - nn.functional.normalize(noise, dim=1))
            x = x.clamp(min=0)  # as features after a rectifier are
        return x.detach()


class ByClass(Energy):
    """One energy a class of the classifier: that of the predicted class, or the mean of the rest.

    Args:
        weight, bias: of the classifier's head, (C, d) and (C,).
        energies: one a class.
        own: whether it is the predicted class's own energy.
    """

    def __init__(self, weight: Tensor, bias: Tensor, energies: list[Energy], own: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.own = own
        self.energies = nn.ModuleList(energies)

    def forward(self, z: Tensor) -> Tensor:
        logits = z[:, : self.weight.shape[1]] @ self.weight.T + self.bias
        predicted = logits.argmax(1, keepdim=True)
        energies = torch.stack([energy(z) for energy in self.energies], 1)
        own_energy = energies.gather(1, predicted).squeeze(1)
        if self.own:
            return own_energy
        return (energies.sum(1) - own_energy) / (energies.shape[1] - 1)


@dataclass(frozen=True)
class Classed(HEAT):
    """HEAT with a critic a class.

    Args:
        own: each learns that class alone against the families; else the other classes, the class a
            family too.
    """

    own: bool = True

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        assert train.head is not None
        assert train.y is not None
        shape = Shape.of(train)
        prior, _ = self.blank(train).fit(train).addends()
        energies: list[Energy] = []
        for label in range(len(train.head.bias)):
            member = self.correction.build(shape, self.normalize).fit(train)
            of_class = train.y == label
            families = dict(extra.pseudo)
            if not self.own:
                families["left out"] = train.take(of_class)
            class_extra = replace(extra, val=None, pseudoval={}, pseudo=families)
            rows = train.take(of_class if self.own else ~of_class)
            self.correction.fit(member, FitContext(member, rows, class_extra), seed, on_record)
            energies.append(member)
        correction = ByClass(train.head.weight, train.head.bias, energies, self.own)
        balance(prior, correction, train.columns(self.input_views(shape)))
        return (prior + correction).eval()

    def to_diagnose(self, energy: Energy, train: Features, extra: ExtraID, seed: int) -> None:
        """Nothing: the diagnosis is of one network."""


@dataclass(frozen=True)
class HardFamilies(FromPseudoOOD):
    """E_theta from pseudo-OOD whose families weigh more, the harder they are.

    Args:
        factors: {family: what its weight is multiplied by}.
    """

    factors: Mapping[str, float] = field(default_factory=dict, hash=False)

    def family_weights(self, families: Mapping[str, Features]) -> dict[str, float]:
        weights = super().family_weights(families)
        return {name: weight * self.factors.get(name, 1.0) for name, weight in weights.items()}


@dataclass(frozen=True)
class Weighted(HEAT):
    """HEAT whose families weigh more, the less a first fit tells their held-out images from ID.

    The factor is exp(rate (1 - AUROC)).
    """

    rate: ClassVar[float] = 5.0

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        assert extra.val is not None
        first_fit = super().fit(train, seed, on_record, extra)
        views = self.input_views(Shape.of(train))
        inside = score(first_fit, extra.val.columns(views))
        factors = {}
        for name, family in extra.pseudoval.items():
            area = auroc(inside, score(first_fit, family.columns(views)))
            factors[name] = float(torch.tensor(self.rate * (1 - area)).exp())
        values = {f.name: getattr(self.correction, f.name) for f in fields(self.correction)}
        correction = HardFamilies(**values, factors=factors)
        return HEAT(correction=correction, prior=self.prior).fit(train, seed, on_record, extra)


def ideas() -> dict[str, Detector]:
    """Returns the detectors by what is new in them."""
    source = FromPseudoOOD()
    return {
        "HEAT-GMM as first found: wide, no jitter": HEAT(correction=WIDE, prior=GMM),
        "HEAT-GMM: jitter on standardised inputs": HEAT(correction=source, prior=GMM),
        "an ensemble of 5 critics": HEAT(correction=FromPseudoOOD(network_count=5), prior=GMM),
        "SGLD-refined pseudo-negatives": Refined(correction=source, prior=GMM),
        "leave-classes-out: each class once a family": Classed(
            correction=source, prior=GMM, own=False
        ),
        "a correction per class": Classed(correction=source, prior=GMM),
        "learned weights of families": Weighted(correction=source, prior=GMM),
        "HEAT: all parts in the prior": HEAT(correction=source),
        "HEAT without the earlier layer": HEAT(correction=source, prior=PRIOR[:-1]),
        "Composed: weights that the criterion found": WEIGHED,
        "Composed without the earlier layer": replace(WEIGHED, w_early_layer=0.0),
        "Composed of closed forms alone": replace(WEIGHED, w_correction=0.0),
    }


def study(options: Options) -> tuple[str, bool]:
    """Returns the table, and whether the preset's FPR95 is below that of HEAT as first found."""
    pack = shipped_pack()
    figures = {name: figures_of(detector, pack, SEEDS) for name, detector in ideas().items()}
    page = [
        HEADING,
        _table(figures),
        f"Mean and deviation over {SEEDS} seeds; FPR95 (ID+) and AUROC in percent.",
    ]
    first_found, preset, *_ = figures.values()
    return "\n\n".join(page), preset.fpr95 < first_found.fpr95


def _table(figures: Mapping[str, Figures]) -> str:
    """Returns the figures of ideas as Markdown."""
    rows = []
    for name, f in figures.items():
        fpr95 = f"{f.fpr95:.1f} ± {f.fpr95_std:.1f}"
        auroc = f"{f.auroc:.1f} ± {f.auroc_std:.1f}"
        near = f"{f.near_fpr95:.1f} / {f.near_auroc:.1f}"
        rows.append([name, f"{f.criterion:.2f}", f"{fpr95} / {auroc}", near])
    return markdown(["Idea", "Criterion (ID only)", "Average FPR95 / AUROC", "Near"], rows)
