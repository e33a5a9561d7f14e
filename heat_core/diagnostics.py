"""Whether a learned energy can be trusted: chains on it, weights under it, and its size.

All figures together give one traffic light, with its reason in words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .arguments import check_seed
from .energies import Energy, GaussianMixture, Whitened, score
from .sampling import MALA, tune_step_size
from .training.trainer import Record

Light = Literal["green", "amber", "red"]

CHAINS = 32
STEPS = 200  # of each chain
TUNING_STEPS = 60  # before them, in which the step size is tuned

# R-hat above which chains disagree (Gelman and Rubin 1992; Vehtari et al. 2021 ask for less)
MAX_R_HAT = 1.1
# effective shares of the noise below which log Z to it is a guess, and the model is elsewhere
FEW_EFFECTIVE = 0.02
HARDLY_EFFECTIVE = 0.01
MAX_DRIFT = 3.0  # standard deviations of the data's energy
MAX_CONDITION = 1e8  # of a covariance: float32 holds no more


@dataclass(frozen=True)
class Diagnosis:
    """What chains and weights say of a fitted energy. nan where a figure means nothing for it.

    Args:
        light, reason: green, amber or red, and why in a sentence.
        acceptance, step_size: of MALA on the energy, in units of the data's covariance, after
            tuning towards .574.
        r_hat_energy, r_hat_class: split R-hat of chains begun at data, of E and of the class they
            are in; 1 where they agree.
        ess_energy, ess_class: the independent draws that all steps are worth.
        transition_counts: (class before, class after, how often) of the chains' steps, those that
            stay among them, of every pair of classes that a step joined.
        gap: mean E_theta of negatives less that of data.
        bound_used: what 99 % of |E_theta| on data and negatives lie below, times 2 alpha; above
            1 it has left its bound.
        effective: the effective share of the noise as weighted draws of the model.
        log_z_to_noise: log mean exp(-E_theta) over noise of density n: log Z of n exp(-E_theta).
        drift: how far long chains leave the data's energy, in its standard deviations.
        condition: of the data's covariance within classes.

    >>> light_and_reason(Diagnosis("green", "", gap=2.0, acceptance=0.1))
    ('amber', 'MALA accepts only 10% of its steps: the energy is rough.')
    """

    light: Light
    reason: str
    acceptance: float = math.nan
    step_size: float = math.nan
    r_hat_energy: float = math.nan
    r_hat_class: float = math.nan
    ess_energy: float = math.nan
    ess_class: float = math.nan
    transition_counts: tuple[tuple[int, int, int], ...] = ()
    gap: float = math.nan
    bound_used: float = math.nan
    effective: float = math.nan
    log_z_to_noise: float = math.nan
    drift: float = math.nan
    condition: float = math.nan


@dataclass(frozen=True, eq=False)
class ToDiagnose:
    """A fitted energy with its learned part, and the data and negatives to diagnose them on.

    Args:
        energy: the whole, of what the chains walk in.
        e_theta: the learned part E_theta, of z as it is here.
        mixture: Gaussians fitted to the data where the chains walk.
        z, negatives: (N, d) data, and what it was contrasted with, noise or pseudo-OOD features, as
            E_theta sees them.
        bound: of |E_theta| at its optimum; None without one.
        density: whether exp(-E) is meant as a density, so that chains and weights mean something.

    >>> from heat_core.features import Features
    >>> z = torch.tensor([[-1.0], [1.0]])
    >>> mixture = GaussianMixture(1, 1).fit(Features(z))
    >>> to_diagnose = ToDiagnose(mixture, mixture, mixture, z, negatives=3 * z, density=False)
    >>> diagnosis = diagnose(to_diagnose)
    >>> diagnosis.light, round(diagnosis.gap, 2)
    ('green', 4.0)
    """

    energy: Energy
    e_theta: Energy
    mixture: GaussianMixture
    z: Tensor
    negatives: Tensor
    bound: float | None = None
    density: bool = True


def diagnose(to_diagnose: ToDiagnose, last: Record | None = None, seed: int = 0) -> Diagnosis:
    """Returns the diagnosis of a fitted energy. It takes about a second for small networks.

    Args:
        to_diagnose: the energy, and what to look at it on.
        last: record of the training, for the effective share and log Z to the noise.
        seed: of the chains.
    """
    seed = check_seed(seed)
    data_energy = score(to_diagnose.e_theta, to_diagnose.z)
    negative_energy = score(to_diagnose.e_theta, to_diagnose.negatives)
    sizes = np.abs(np.concatenate([data_energy, negative_energy]))
    largest = float(np.quantile(sizes, 0.99))
    diagnosis = Diagnosis(
        "green",
        "",
        gap=float(negative_energy.mean() - data_energy.mean()),
        condition=condition(to_diagnose.mixture),
        bound_used=math.nan if to_diagnose.bound is None else largest / to_diagnose.bound,
    )
    if to_diagnose.density:
        diagnosis = replace(diagnosis, **_chain_figures(to_diagnose, seed))
        if last is not None:
            log_z_to_noise = last.log_z_to_noise
            diagnosis = replace(diagnosis, effective=last.effective, log_z_to_noise=log_z_to_noise)
    light, reason = light_and_reason(diagnosis)
    return replace(diagnosis, light=light, reason=reason)


# -- the light -------------------------------------------------------------------------------------


class _Fault(NamedTuple):
    """Something that can be wrong with an energy.

    Args:
        is_present: whether it is.
        reason: what is said then.
    """

    is_present: bool
    reason: str


def light_and_reason(diagnosis: Diagnosis) -> tuple[Light, str]:
    """Returns the light that the figures give, and the gravest reason for it. nan is no reason."""
    for fault in _red_faults(diagnosis):
        if fault.is_present:
            return "red", fault.reason
    for fault in _amber_faults(diagnosis):
        if fault.is_present:
            return "amber", fault.reason
    reason = "The learned energy tells data from what it learned against, and nothing drifts."
    if diagnosis.r_hat_class > MAX_R_HAT:
        reason += " Chains keep to their class, as the data's classes lie apart."
    return "green", reason


def _red_faults(diagnosis: Diagnosis) -> tuple[_Fault, ...]:
    """Returns what makes the light red, the gravest first."""
    chains_disagree = diagnosis.r_hat_energy > MAX_R_HAT
    return (
        _Fault(
            diagnosis.gap < 0,
            f"The learned energy is lower on negatives than on data (gap {diagnosis.gap:.2f}): "
            "it has learned nothing, or collapsed.",
        ),
        _Fault(
            diagnosis.drift > MAX_DRIFT,
            f"Long chains leave the data's energies by {diagnosis.drift:.1f} of their standard "
            "deviations: what the model holds likely is not the data.",
        ),
        _Fault(
            diagnosis.bound_used > 2,
            f"{_bound_used(diagnosis)}: training is far from its optimum; a smaller learning rate "
            "(lr) may help.",
        ),
        _Fault(
            diagnosis.effective < HARDLY_EFFECTIVE and chains_disagree,
            f"{_effective_noise(diagnosis)}, and chains disagree on the energy (R-hat "
            f"{diagnosis.r_hat_energy:.2f}): modes are lost, or wells have been dug where no data "
            "is.",
        ),
    )


def _amber_faults(diagnosis: Diagnosis) -> tuple[_Fault, ...]:
    """Returns what makes the light amber, the gravest first."""
    return (
        _Fault(
            diagnosis.effective < FEW_EFFECTIVE,
            f"{_effective_noise(diagnosis)}: log Z to the noise is a guess.",
        ),
        _Fault(
            diagnosis.acceptance < 0.2,
            f"MALA accepts only {diagnosis.acceptance:.0%} of its steps: the energy is rough.",
        ),
        _Fault(
            diagnosis.r_hat_energy > MAX_R_HAT,
            f"Chains disagree on the energy (R-hat {diagnosis.r_hat_energy:.2f}): "
            "it has wells that they do not leave.",
        ),
        _Fault(diagnosis.bound_used > 1.2, f"{_bound_used(diagnosis)}."),
        _Fault(
            diagnosis.condition > MAX_CONDITION,
            f"The covariance's condition number is {diagnosis.condition:.0e}: "
            "some directions hardly vary.",
        ),
    )


def _bound_used(diagnosis: Diagnosis) -> str:
    return f"The learned energy is {diagnosis.bound_used:.1f} times its bound 1 / (2 alpha)"


def _effective_noise(diagnosis: Diagnosis) -> str:
    return f"Only {diagnosis.effective:.1%} of the noise counts as draws of the model"


# -- figures ---------------------------------------------------------------------------------------


def _chain_figures(to_diagnose: ToDiagnose, seed: int) -> dict[str, Any]:
    """Returns the fields of a `Diagnosis` that chains begun at data give."""
    data = to_diagnose.z
    generator = torch.Generator(data.device).manual_seed(seed)
    whitened = Whitened(to_diagnose.energy, to_diagnose.mixture)
    rows = torch.randint(len(data), (CHAINS,), device=data.device, generator=generator)
    start = whitened.whiten(data[rows])
    untuned = MALA(steps=STEPS, step_size=0.5 * data.shape[1] ** (-1 / 3))
    sampler, w = tune_step_size(untuned, whitened, start, generator, rounds=TUNING_STEPS)
    path = sampler.path(whitened, w, generator)

    z = whitened.unwhiten(path.flatten(0, 1))
    chain_energy = score(to_diagnose.energy, z).reshape(path.shape[:2])
    classes = to_diagnose.mixture.most_probable_class(z).view(path.shape[:2]).cpu().numpy()
    data_energy = score(to_diagnose.energy, data)
    late_energy = chain_energy[-STEPS // 4 :]
    drift = abs(late_energy.mean() - data_energy.mean()) / max(data_energy.std(), 1e-12)
    return {
        "acceptance": sampler.acceptance(whitened, path),
        "step_size": sampler.step_size,
        "r_hat_energy": split_r_hat(chain_energy),
        "r_hat_class": split_r_hat(classes),
        "ess_energy": effective_size(chain_energy),
        "ess_class": effective_size(classes),
        "transition_counts": transition_counts(classes),
        "drift": float(drift),
    }


def condition(mixture: GaussianMixture) -> float:
    """Returns the condition number of the mixture's covariance, as it was fitted.

    It is the largest eigenvalue over the smallest.
    """
    squared_lengths = mixture.whitener.double().square().sum(0)
    return float(squared_lengths.max() / squared_lengths.min())


def split_r_hat(values: NDArray) -> float:
    """Returns the split R-hat of chains, (steps, chains).

    It is the square root of the pooled variance over that within half chains: 1 where all halves
    look alike; nan where nothing varies at all.
    Reference: Gelman et al. 2013, section 11.4.

    >>> split_r_hat(np.tile([[0.0], [1.0]], (50, 4))) < 1  # four chains that go up and down alike
    True
    """
    half = len(values) // 2
    halves = np.concatenate([values[:half], values[half : 2 * half]], 1).astype(float)
    within = halves.var(0, ddof=1).mean()
    between = halves.mean(0).var(ddof=1)
    if within == 0:
        return math.nan if between == 0 else math.inf
    return math.sqrt((half - 1) / half + between / within)


def effective_size(values: NDArray) -> float:
    """Returns how many independent draws chains, (steps, chains), are worth together.

    nan where nothing varies. Autocorrelations are summed in pairs until a pair is negative.
    Reference: Geyer 1992; Gelman et al. 2013, section 11.5.

    >>> effective_size(np.ones((10, 4)))
    nan
    """
    steps, chains = values.shape
    centred = values - values.mean(0)
    spectrum = np.abs(np.fft.rfft(centred, 2 * steps, axis=0)) ** 2
    covariance = np.fft.irfft(spectrum, axis=0)[:steps].mean(1) / steps
    within = covariance[0] * steps / (steps - 1)
    between = values.mean(0).var(ddof=1) if chains > 1 else 0.0
    pooled = covariance[0] + between
    if pooled == 0:
        return math.nan
    correlation = 1 - (within - covariance * steps / (steps - 1)) / pooled
    correlation[0] = 1.0
    pairs = correlation[: steps // 2 * 2].reshape(-1, 2).sum(1)
    negative = np.flatnonzero(pairs < 0)
    positive = pairs[: negative[0] if len(negative) else None]
    draws = steps * chains
    size = draws / max(2 * np.minimum.accumulate(positive).sum() - 1, 1e-12)
    return float(min(size, draws * math.log10(draws)))


def transition_counts(classes: NDArray) -> tuple[tuple[int, int, int], ...]:
    """Returns (class before, class after, how often) of the steps, in order of the classes.

    Args:
        classes: (steps, chains).

    >>> transition_counts(np.array([[0, 7], [0, 7], [2, 7]]))  # two chains
    ((0, 0, 1), (0, 2, 1), (7, 7, 2))
    """
    steps = np.stack([classes[:-1].ravel(), classes[1:].ravel()], 1)
    pairs, counts = np.unique(steps, axis=0, return_counts=True)
    triples = np.column_stack([pairs, counts]).tolist()
    return tuple((before, after, count) for before, after, count in triples)
