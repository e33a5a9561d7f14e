"""Detectors that learn an energy, from noise or from pseudo-OOD families."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from heat_core.diagnostics import ToDiagnose
from heat_core.energies import (
    DirectionAndNorm,
    Energy,
    GaussianMixture,
    Normalized,
    OnView,
    Tempered,
    on_sphere,
    score,
    working_precision,
)
from heat_core.features import Features
from heat_core.images.pseudo import perturbed
from heat_core.metrics import auroc
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.sampling import Manifold
from heat_core.training.negatives import (
    NoiseSampler,
    manifold_of,
    standard_normal,
    uniform_cube,
    widened_mixture,
)
from heat_core.training.objectives import MaximumLikelihood, NoiseContrastive
from heat_core.training.trainer import Objective, OnRecord, TrainingTask, ignore

from .critic import DIAGNOSED_ROWS, Critic, Perceptron, check_members, networks_of
from .detector import Normalizing, Shape, check_temperature


@dataclass(frozen=True)
class _Learned(Normalizing):
    """A detector with a learned energy; with a `critic` and pseudo-OOD families it learns from those instead of noise.

    Args:
        temperature: of the Gaussians that noise is drawn from.
        spread: how much larger the noise's deviations are than the Gaussians'; sqrt(temperature) if not given.
        network, training: of the energy learned from noise, or from draws of the model that begin there.
        members: how many networks, trained together from seeds of their own; E_theta is their mean, which varies less
            (Lakshminarayanan et al. 2017, arXiv:1612.01474).
    """

    temperature: float = 1.0
    spread: float | None = None
    network: Perceptron = Perceptron()
    training: Objective = NoiseContrastive()
    members: int = 1
    critic: Critic | None = None

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        check_members(self.members)

    def _noise(self, mixture: GaussianMixture, z: Tensor) -> NoiseSampler:
        """Returns draws of the mixture, widened, where the data z lives, or where the chains that begin there walk."""
        surface: Manifold = manifold_of(z) if self.normalize else "space"
        if isinstance(self.training, MaximumLikelihood):
            surface = self.training.sampler.onto
        return widened_mixture(
            mixture, self.temperature**0.5 if self.spread is None else self.spread, surface
        )

    @property
    def trains(self) -> bool:
        return True

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        return ("z",) if self.critic is None else self.critic.input_views(shape)

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        energy = self.blank(train).fit(train)
        if self.critic is None:
            known, judges = self._split(train, extra)
            self._learn(energy, known, seed, on_record)
            self._check(energy, judges, seed)
            return energy.eval()
        if not extra.pseudo:
            raise ValueError(
                f"{self.title} with a critic needs pseudo-OOD families, and there are none."
            )
        correction = energy.terms()[-1]
        assert isinstance(correction, DirectionAndNorm)
        self.critic.learn(correction, train, extra, seed, energy, on_record)
        self._weigh(energy, train)
        return energy.eval()

    def to_diagnose(self, energy: Energy, train: Features, extra: ExtraID, seed: int) -> ToDiagnose:
        correction = energy.terms()[-1]
        if self.critic is not None:
            assert isinstance(correction, DirectionAndNorm)
            return self.critic.to_diagnose(energy, correction, train, extra)
        z = self.seen(train)[:DIAGNOSED_ROWS]
        total, inner = (
            (e.energy if isinstance(e, Normalized) else e) for e in (energy, correction)
        )
        mixture = (
            GaussianMixture(train.dim, len(train.classes))
            .to(z)
            .fit(on_sphere(train) if self.normalize else train)
        )
        noise = self.noise(train)(len(z), torch.Generator(z.device).manual_seed(seed + 1))
        density = not self.normalize or isinstance(self.training, MaximumLikelihood)
        return ToDiagnose(
            total, inner, mixture, z, noise, getattr(self.training, "bound", None), density
        )

    @abc.abstractmethod
    def noise(self, train: Features) -> NoiseSampler:
        """Returns the noise that the energy learns against, or at which its chains begin."""

    @abc.abstractmethod
    def _learn(self, energy: Energy, train: Features, seed: int, on_record: OnRecord) -> None:
        """Trains the learned part of a fitted energy against noise."""

    def _split(self, train: Features, extra: ExtraID) -> tuple[Features, Features]:
        """Returns the features to learn from, and those to check with."""
        return train, train

    def _check(self, energy: Energy, judges: Features, seed: int) -> None:
        """Takes back what was learned from noise, if ID features held out of it say that it does not help."""

    def _weigh(self, energy: Energy, train: Features) -> None:
        """Brings the parts of an energy with a critic to one scale."""


@dataclass(frozen=True)
class EBM(_Learned):
    """E_theta alone.

    In the plane the noise is uniform on a cube well around the data, so there E_theta = -log p up to a constant. On
    normalised features uniform noise is so far away that telling it apart teaches nothing (the held-out loss is 0 at
    once), so the noise is one broad Gaussian with the data's mean and covariance, on the sphere: E_theta = log n - log p.

    Args:
        origin: where noise is: `around` the data as above, or `normal`: N(0, I), where the paper's chains begin.

    Reference: the model, Lafon et al. 2022; they train it by short-run MCMC.
    """

    temperature: float = 9.0
    origin: Literal["around", "normal"] = "around"
    title: ClassVar[str] = "EBM"
    summary: ClassVar[str] = "an energy learned from nothing"

    def build(self, shape: Shape) -> Energy:
        if self.critic is None:
            return self.placed(self.network.build(shape.dim, self.members))
        return self.critic.build(shape)

    def _learn(self, energy: Energy, train: Features, seed: int, on_record: OnRecord) -> None:
        z, noise = self.seen(train), self.noise(train)
        self.training.fit(
            [TrainingTask(network, z, noise, energy) for network in networks_of(energy)],
            seed,
            on_record,
        )

    def noise(self, train: Features) -> NoiseSampler:
        z = self.seen(train)
        if self.origin == "normal":
            return standard_normal(z)
        if self.normalize:
            return self._noise(GaussianMixture(train.dim, 1).to(z).fit(Features(z)), z)
        return uniform_cube(z)


@dataclass(frozen=True)
class HEAT(_Learned):
    """E_G / T_G + E_theta: Gaussians corrected by a learned energy.

    The noise that E_theta learns against stands for the tempered prior, q^(1/T_G): samples of q with deviations sqrt(T_G)
    times as large (for one Gaussian exactly that; for several, without the 1/T_G on their shares). With T_G = 1 and no
    normalising, as in the plane, the sum is -log p of the data. Normalised features have their noise projected to the
    sphere, whose density is not q's: there the sum is a score, not a log density.

    With a critic, E_theta is a verdict, and T_G = std(E_G) / std(E_theta) on the training features: both speak as loud.

    Args:
        checked: what was learned from noise stays only if it helps: if the sum tells held-out ID features (`val`, or a tenth
            of the training features) from `pseudo.perturbed` ones, of kinds that it was not trained on, better than the
            prior alone does. Else E_theta is 0 and the scores rank as the MoG's; `note` says so.

    Reference: Lafon et al. 2022 for the model; noise-contrastive training against q, and the critic, are ours.
    """

    checked: bool = False
    title: ClassVar[str] = "HEAT"
    summary: ClassVar[str] = "Gaussians, and a learned correction where they are wrong"

    def build(self, shape: Shape) -> Energy:
        prior = GaussianMixture(shape.dim, shape.classes)
        if self.critic is None:
            return self.placed(
                prior / self.temperature + self.network.build(shape.dim, self.members)
            )
        return OnView(self.placed(prior), "z", 0, shape.dim) / self.temperature + self.critic.build(
            shape
        )

    def _learn(self, energy: Energy, train: Features, seed: int, on_record: OnRecord) -> None:
        z = self.seen(train)
        prior, correction = (energy.energy if isinstance(energy, Normalized) else energy).terms()
        noise = self.noise(train)
        self.training.fit(
            [TrainingTask(network, z, noise, energy, prior) for network in networks_of(correction)],
            seed,
            on_record,
        )

    def noise(self, train: Features) -> NoiseSampler:
        mixture = GaussianMixture(train.dim, len(train.classes)).to(
            train.z.device, working_precision(train.z)
        )
        return self._noise(
            mixture.fit(on_sphere(train) if self.normalize else train), self.seen(train)
        )

    def _split(self, train: Features, extra: ExtraID) -> tuple[Features, Features]:
        if not self.checked or extra.val is not None:
            return train, extra.val or train
        held_out = torch.arange(len(train)) % 10 == 0
        return replace(train.take(~held_out), moments=train.moments), train.take(held_out)

    def _check(self, energy: Energy, judges: Features, seed: int) -> None:
        if not self.checked:
            return
        z = judges.z.to(working_precision(judges.z))
        kinds = perturbed(z, torch.Generator(z.device).manual_seed(seed))
        worth = [
            sum(auroc(score(part, z), score(part, outside)) for outside in kinds.values())
            for part in (energy, energy.terms()[0])
        ]
        if worth[0] <= worth[1]:
            for layer in _ends(energy):
                torch.nn.init.zeros_(layer.weight)
                torch.nn.init.zeros_(layer.bias)

    def note(self, energy: Energy) -> str:
        if any(layer.weight.any() or layer.bias.any() for layer in _ends(energy)):
            return ""
        return "What was learned did not help to tell held-out ID features from perturbed ones, so this is the MoG."

    def _weigh(self, energy: Energy, train: Features) -> None:
        prior, correction = energy.terms()
        assert isinstance(prior, Tempered)
        seen = train.columns(self.input_views(Shape.of(train)))
        spread = [float(score(part, seen).std()) for part in (prior.energy, correction)]
        prior.temperature.fill_(spread[0] / spread[1] if min(spread) > 0 else 1.0)


def _ends(energy: Energy) -> list[torch.nn.Linear]:
    """Returns the last layer of every network in an energy."""
    ends = [network.layers[-1] for network in networks_of(energy)]
    return [end for end in ends if isinstance(end, torch.nn.Linear)]
