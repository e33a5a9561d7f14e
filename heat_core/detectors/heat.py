"""HEAT and the EBM: detectors that learn an energy, with a prior and without."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from torch import Tensor

from heat_core.diagnostics import ToDiagnose
from heat_core.energies import Energy, GaussianMixture, OnView, Tempered, score
from heat_core.features import Features
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.training.negatives import (
    NoiseSampler,
    standard_normal,
    uniform_cube,
    widened_mixture,
)
from heat_core.training.objectives import Objective
from heat_core.training.trainer import OnRecord, ignore

from .detector import Normalizing, Shape, check_temperature
from .learned_energy import FitContext, FromNoise, LearnedEnergy, energies_within, is_zero

NOISE_SCALE = 3.0  # of the broad Gaussian that an EBM learns against: times the data's deviations


@dataclass(frozen=True)
class HEAT(Normalizing):
    """E_G / T_G + E_theta: Gaussians corrected by a learned energy.

    The noise that E_theta learns against stands for the tempered prior, q^(1/T_G): samples of q
    with deviations sqrt(T_G) times as large (for one Gaussian exactly that; for several, without
    the 1/T_G on their shares). With T_G = 1 and no normalising, as in the plane, the sum is -log p
    of the data. Normalised features have their noise projected to the sphere, whose density is not
    q's: there the sum is a score, not a log density.

    Args:
        temperature: T_G. By default 1 for a correction from noise, which must know it beforehand;
            for one from pseudo-OOD std(E_G) / std(E_theta) on the training features, so that both
            terms vary as much.
        correction: E_theta, and what it learns from.

    Reference: Lafon et al. 2022 for the model; noise-contrastive training against q, and learning
    from pseudo-OOD, are ours.

    >>> import torch
    >>> from heat_core.detectors.learned_energy import Perceptron
    >>> from heat_core.training.trainer import TrainConfig
    >>> training = TrainConfig(steps=20, batch=64, lr=1e-2)
    >>> detector = HEAT(correction=FromNoise(Perceptron(width=8, depth=1), training=training))
    >>> z = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) + 2
    >>> energy = detector.fit(Features(z))
    >>> prior, correction = energy.terms()
    >>> inside, outside = energy(torch.tensor([[2.0, 2.0, 2.0], [-2.0, -2.0, -2.0]]))
    >>> bool(inside < outside)
    True
    """

    temperature: float | None = None
    correction: LearnedEnergy = FromNoise()
    title: ClassVar[str] = "HEAT"
    summary: ClassVar[str] = "Gaussians, and a learned correction where they are wrong"

    def __post_init__(self) -> None:
        check_temperature(self.prior_temperature)

    @property
    def prior_temperature(self) -> float:
        """T_G before E_theta has learned."""
        return 1.0 if self.temperature is None else self.temperature

    @property
    def objective(self) -> Objective:
        return self.correction.objective

    def term_names(self, shape: Shape) -> tuple[str, ...]:
        return "prior", "correction"

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        return self.correction.input_views(shape)

    def build(self, shape: Shape) -> Energy:
        gaussians = GaussianMixture(shape.dim, shape.classes)
        prior = OnView(self.placed(gaussians), "z", 0, shape.dim)
        correction = self.correction.build(shape, self.normalize)
        return prior / self.prior_temperature + correction

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        energy = self.blank(train).fit(train)  # E_G / T_G + E_theta, which learns now
        prior, correction = energy.terms()
        context = self._context(energy, train, extra)
        self.correction.fit(correction, context, seed, on_record)
        if self.temperature is None and self.correction.balances_prior:
            balance(prior, correction, train.columns(self.input_views(Shape.of(train))))
        return energy.eval()

    def _context(self, energy: Energy, train: Features, extra: ExtraID) -> FitContext:
        """Returns what the correction learns within."""
        (gaussians,) = energies_within(energy.terms()[0], GaussianMixture)
        prior = (gaussians / self.prior_temperature).to(gaussians.means)
        noise_sampler = partial(self.noise_sampler, gaussians, train)
        return FitContext(energy, train, extra, self.normalize, prior, noise_sampler)

    def noise_sampler(
        self, gaussians: GaussianMixture, train: Features, learned: FromNoise
    ) -> NoiseSampler:
        """Returns samples of the prior's Gaussians, widened as `learned` says.

        Args:
            gaussians: fitted to the features.
            train: the training features.
            learned: what the noise is for.
        """
        noise_scale = learned.noise_scale
        if noise_scale is None:
            noise_scale = self.prior_temperature**0.5
        manifold = learned.noise_manifold(self.inner_z(train), self.normalize)
        return widened_mixture(gaussians, noise_scale, manifold)

    def warning(self, energy: Energy) -> str:
        if not is_zero(energy):
            return ""
        return (
            "What was learned did not help to tell held-out ID features from perturbed ones, "
            "so this is the MoG."
        )

    def to_diagnose(self, energy: Energy, train: Features, extra: ExtraID, seed: int) -> ToDiagnose:
        _, correction = energy.terms()
        return self.correction.to_diagnose(correction, self._context(energy, train, extra), seed)


def balance(prior: Energy, correction: Energy, inputs: Tensor) -> None:
    """Sets the temperature of a tempered prior so that it varies as much as the correction.

    Args:
        prior: E_G / T_G of (N, d); T_G becomes std(E_G) / std(E_theta), or 1 where either is 0.
        correction: E_theta of the same.
        inputs: (N, d), over which the standard deviations are taken.
    """
    (tempered,) = energies_within(prior, Tempered)
    prior_std = float(score(tempered.energy, inputs).std())
    correction_std = float(score(correction, inputs).std())
    vary = min(prior_std, correction_std) > 0
    tempered.temperature.fill_(prior_std / correction_std if vary else 1.0)


@dataclass(frozen=True)
class EBM(Normalizing):
    """E_theta alone.

    In the plane the noise is uniform on a cube well around the data, so there E_theta = -log p up
    to a constant. On normalised features uniform noise is so far away that telling it apart teaches
    nothing (the validation loss is 0 at once), so the noise is one broad Gaussian with the data's
    mean and covariance, on the sphere: E_theta = log n - log p.

    Args:
        learned: E_theta, and what it learns from. The broad Gaussian's deviations are 3 times the
            data's, where it does not say another `noise_scale`.
        noise_origin: where noise is: `around` the data as above, or `normal`: N(0, I), where the
            paper's chains begin.

    Raises ValueError for an E_theta that is checked: there is no prior to fall back on.

    Reference: the model, Lafon et al. 2022; they train it by short-run MCMC.

    >>> EBM(learned=FromNoise(checked=True))
    Traceback (most recent call last):
    ValueError: an EBM has no prior that what it learned could be checked against.
    """

    learned: LearnedEnergy = FromNoise()
    noise_origin: Literal["around", "normal"] = "around"
    title: ClassVar[str] = "EBM"
    summary: ClassVar[str] = "an energy learned from nothing"

    def __post_init__(self) -> None:
        if isinstance(self.learned, FromNoise) and self.learned.checked:
            raise ValueError("an EBM has no prior that what it learned could be checked against.")

    @property
    def objective(self) -> Objective:
        return self.learned.objective

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        return self.learned.input_views(shape)

    def build(self, shape: Shape) -> Energy:
        return self.learned.build(shape, self.normalize)

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        energy = self.blank(train).fit(train)
        self.learned.fit(energy, self._context(energy, train, extra), seed, on_record)
        return energy.eval()

    def _context(self, energy: Energy, train: Features, extra: ExtraID) -> FitContext:
        noise_sampler = partial(self.noise_sampler, train)
        return FitContext(energy, train, extra, self.normalize, noise_sampler=noise_sampler)

    def noise_sampler(self, train: Features, learned: FromNoise) -> NoiseSampler:
        """Returns the noise around training features, or N(0, I)."""
        z = self.inner_z(train)
        if self.noise_origin == "normal":
            return standard_normal(z)
        if not self.normalize:
            return uniform_cube(z)
        gaussian = GaussianMixture(train.dim, classes=1).to(z).fit(Features(z))
        noise_scale = NOISE_SCALE if learned.noise_scale is None else learned.noise_scale
        return widened_mixture(gaussian, noise_scale, learned.noise_manifold(z, self.normalize))

    def to_diagnose(self, energy: Energy, train: Features, extra: ExtraID, seed: int) -> ToDiagnose:
        return self.learned.to_diagnose(energy, self._context(energy, train, extra), seed)
