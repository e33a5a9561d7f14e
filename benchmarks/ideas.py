"""Ideas beyond the recipe, each measured: the criterion of ID images alone, which decides, and the OOD sets, which report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from heat_core.detectors.composed import Composed
from heat_core.detectors.learned_energy import Critic, Perceptron
from heat_core.detectors.detector import Detector, Shape
from heat_core.detectors.heat import HEAT
from heat_core.detectors.presets import preset_detector
from heat_core.energies import DirectionAndNorm, Energy, score
from heat_core.features import Features
from heat_core.metrics import auroc
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.results.formats import markdown
from heat_core.training.objectives import LeastSquares
from heat_core.training.trainer import OnRecord, ignore

from .study import found, pack
from .timing import Options

SEEDS = 3
HEADING = """# Ideas beyond the recipe

Printed by `python -m benchmarks ideas`. The criterion, which sees ID images alone, decides; OOD sets are looked at here to
report. It compares settings of one detector, so HEAT with HEAT and Composed with Composed."""
WIDE = Critic(Perceptron(256, 3), LeastSquares(steps=500, batch=768, rate=1e-3, weight_decay=1e-2))


@dataclass(frozen=True)
class Refined(HEAT):
    """Pseudo-OOD features walk a few noisy steps down the total energy of a first fit, and join the negatives.

    Args:
        walk: steps; each is `stride` of the feature's length along the gradient, and as much of noise.
    """

    walk: int = 5
    stride: float = 0.02

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        first = super().fit(train, seed, on_record, extra)
        views, generator = self.input_views(Shape.of(train)), torch.Generator().manual_seed(seed)
        harder = {}
        for name, family in extra.pseudo.items():
            z, *rest = self._walked(first, family.columns(views).float(), generator).split(
                [Shape.of(family).width(view) for view in views], 1
            )
            harder[f"{name} refined"] = Features(z, views=dict(zip(views[1:], rest, strict=True)))
        return super().fit(
            train, seed, on_record, replace(extra, pseudo={**extra.pseudo, **harder})
        )

    def _walked(self, energy: Energy, x: Tensor, generator: torch.Generator) -> Tensor:
        for _ in range(self.walk):
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(energy(x).sum(), x)
            noise = torch.randn(x.shape, generator=generator)
            reach = self.stride * x.norm(dim=1, keepdim=True)
            x = x - reach * (
                nn.functional.normalize(slope, dim=1) - nn.functional.normalize(noise, dim=1)
            )
            x = x.clamp(min=0)  # as features after a rectifier are
        return x.detach()


class ByClass(Energy):
    """One energy a class of the classifier: that of the predicted class, or the mean of all others."""

    def __init__(self, weight: Tensor, bias: Tensor, energies: list[Energy], own: bool) -> None:
        super().__init__()
        self.weight, self.bias, self.own = (
            nn.Parameter(weight, False),
            nn.Parameter(bias, False),
            own,
        )
        self.energies = nn.ModuleList(energies)

    def forward(self, z: Tensor) -> Tensor:
        predicted = (z[:, : self.weight.shape[1]] @ self.weight.T + self.bias).argmax(
            1, keepdim=True
        )
        every = torch.stack([energy(z) for energy in self.energies], 1)
        mine = every.gather(1, predicted).squeeze(1)
        return mine if self.own else (every.sum(1) - mine) / (every.shape[1] - 1)


@dataclass(frozen=True)
class Classed(HEAT):
    """A critic a class: of that class alone against the families, or (`own` false) of the others, the class a family too."""

    own: bool = True

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        assert self.critic is not None
        assert train.head is not None
        assert train.y is not None
        prior, _ = self.blank(train).fit(train).terms()
        energies: list[Energy] = []
        for label in range(len(train.head.bias)):
            member, of_class = self.critic.build(Shape.of(train)), train.y == label
            member.fit(train)
            assert isinstance(member, DirectionAndNorm)
            known = replace(extra, val=None, pseudoval={})
            if not self.own:
                known = replace(known, pseudo={**known.pseudo, "left out": train.take(of_class)})
            seen = train.take(of_class if self.own else ~of_class)
            self.critic.learn(member, seen, known, seed, member, on_record)
            energies.append(member)
        total = prior + ByClass(train.head.weight, train.head.bias, energies, self.own)
        self._weigh(total, train)
        return total.eval()

    def to_diagnose(self, energy: Energy, train: Features, extra: ExtraID, seed: int) -> None:
        """Nothing: the diagnosis is of one network."""


@dataclass(frozen=True)
class Hard(Critic):
    """Families weigh more, the less a first fit tells their held-out images from ID: exp(-rate * AUROC)."""

    harder: Mapping[str, float] = field(default_factory=dict, hash=False)

    def weigh(self, families: Mapping[str, Features]) -> dict[str, float]:
        even = super().weigh(families)
        return {name: weight * self.harder.get(name, 1.0) for name, weight in even.items()}


@dataclass(frozen=True)
class Weighted(HEAT):
    """HEAT whose families are weighed by how hard a first fit finds them."""

    rate: ClassVar[float] = 5.0

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        assert self.critic is not None
        assert extra.val is not None
        first, views = super().fit(train, seed, on_record, extra), self.input_views(Shape.of(train))
        inside = score(first, extra.val.columns(views))
        told = {
            name: auroc(inside, score(first, family.columns(views)))
            for name, family in extra.pseudoval.items()
        }
        harder = {
            name: float(torch.tensor(self.rate * (1 - area)).exp()) for name, area in told.items()
        }
        critic = Hard(
            self.critic.network,
            self.critic.training,
            self.critic.compositions,
            self.critic.members,
            harder,
        )
        return HEAT(critic=critic).fit(train, seed, on_record, extra)


def ideas() -> dict[str, Detector]:
    """Returns the recipes by what is new in them."""
    composed = preset_detector("Composed", "modern", "pseudo")
    assert isinstance(composed, Composed)
    return {
        "HEAT as first found: wide, no noise": HEAT(critic=WIDE),
        "HEAT, the recipe: noise on standardised inputs": HEAT(critic=Critic()),
        "an ensemble of 5 critics": HEAT(critic=Critic(members=5)),
        "SGLD-refined pseudo-negatives": Refined(critic=Critic()),
        "leave-classes-out: each class once a family": Classed(critic=Critic(), own=False),
        "a correction per class": Classed(critic=Critic()),
        "learned weights of families": Weighted(critic=Critic()),
        "Composed, the recipe: with an earlier layer": composed,
        "Composed without the earlier layer": replace(composed, early=0.0),
        "Composed of closed forms alone": replace(composed, correction=0.0),
    }


def study(options: Options) -> tuple[str, bool]:
    """Returns the table, and whether the recipe is below HEAT as it was first found."""
    data = pack()
    figures = {name: found(detector, data, SEEDS) for name, detector in ideas().items()}
    heading = ["Idea", "Criterion (ID only)", "Average FPR95 / AUROC", "Near"]
    body = [
        [
            name,
            f"{f.criterion:.2f}",
            f"{f.fpr95:.1f} ± {f.spread[0]:.1f} / {f.auroc:.1f} ± {f.spread[1]:.1f}",
            f"{f.near[0]:.1f} / {f.near[1]:.1f}",
        ]
        for name, f in figures.items()
    ]
    first, ours, *_ = figures.values()
    page = [
        HEADING,
        markdown(heading, body),
        f"Mean and deviation over {SEEDS} seeds; FPR95 (ID+) and AUROC in percent.",
    ]
    return "\n\n".join(page), ours.fpr95 < first.fpr95
