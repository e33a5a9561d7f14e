"""Whether a learned energy can be trusted: chains on it, weights under it, its size; one light, and why, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .energies import Energy, GaussianMixture, Whitened, score
from .sampling import MALA, tune_step_size
from .training.trainer import Record

Light = Literal["green", "amber", "red"]
CHAINS, STEPS, SETTLING = (
    32,
    200,
    60,
)  # chains, their steps, and those in which the step size is tuned
UNMIXED = 1.1  # R-hat above which chains disagree (Gelman and Rubin 1992 use it; Vehtari et al. 2021 ask for less)
THIN, GONE = 0.02, 0.01  # of noise that counts: log Z is a guess; the model is elsewhere
DRIFTED = 3.0  # standard deviations of the data's energy
SINGULAR = 1e8  # a condition number beyond what float32 holds


@dataclass(frozen=True)
class Diagnosis:
    """What chains and weights say of a fitted energy. nan where a figure means nothing for it.

    light, reason: green, amber or red, and why in a sentence.
    acceptance, step_size: of MALA on the energy, in units of the data's covariance, after tuning towards .574.
    r_hat_energy, r_hat_class: split R-hat of chains begun at data, of E and of the class they are in; 1 where they agree.
    ess_energy, ess_class: the independent draws that all steps are worth.
    switches: (C, C) how often a step went from the class of the row to that of the column.
    gap: mean E_theta of noise less that of data.
    bound_used: what 99 % of |E_theta| on data and noise lie below, times 2 alpha; above 1 it has left its bound.
    effective: the effective share of the noise as weighted draws of the model.
    log_z: log mean exp(-E_theta) over noise.
    drift: how far long chains leave the data's energy, in its standard deviations.
    condition: of the data's covariance within classes.
    """

    light: Light
    reason: str
    acceptance: float = math.nan
    step_size: float = math.nan
    r_hat_energy: float = math.nan
    r_hat_class: float = math.nan
    ess_energy: float = math.nan
    ess_class: float = math.nan
    switches: tuple[tuple[int, ...], ...] = ()
    gap: float = math.nan
    bound_used: float = math.nan
    effective: float = math.nan
    log_z: float = math.nan
    drift: float = math.nan
    condition: float = math.nan


@dataclass(frozen=True, eq=False)
class ToDiagnose:
    """What is diagnosed.

    Args:
        energy: the whole, of what the chains walk in.
        correction: E_theta, of the same.
        mixture: Gaussians fitted to the data there.
        z, noise: (N, d) data, and what it was contrasted with.
        bound: of |E_theta| at its optimum; None without one.
        density: whether exp(-E) is meant as a density, so that chains and weights mean something.
    """

    energy: Energy
    correction: Energy
    mixture: GaussianMixture
    z: Tensor
    noise: Tensor
    bound: float | None = None
    density: bool = True


def diagnose(subject: ToDiagnose, last: Record | None = None, seed: int = 0) -> Diagnosis:
    """Returns the diagnosis of a fitted energy. It takes about a second for small networks.

    Args:
        last: record of the training, for the effective share and log Z.
        seed: of the chains.
    """
    inside, outside = (score(subject.correction, rows) for rows in (subject.z, subject.noise))
    largest = float(np.quantile(np.abs(np.concatenate([inside, outside])), 0.99))
    found = Diagnosis(
        "green",
        "",
        gap=float(outside.mean() - inside.mean()),
        condition=condition(subject.mixture),
        bound_used=math.nan if subject.bound is None else largest / subject.bound,
    )
    if subject.density:
        found = replace(found, **_chains(subject, seed))
        found = (
            found if last is None else replace(found, effective=last.effective, log_z=last.log_z)
        )
    light, reason = light_and_reason(found)
    return replace(found, light=light, reason=reason)


def light_and_reason(found: Diagnosis) -> tuple[Light, str]:
    """Returns the light that the figures give, and the gravest reason for it. nan is no reason."""
    for light, holds, reason in _faults(found):
        if holds:
            return light, reason
    apart = (
        " Chains keep to their class, as the data's classes lie apart."
        if found.r_hat_class > UNMIXED
        else ""
    )
    return (
        "green",
        f"The learned energy tells data from what it learned against, and nothing drifts.{apart}",
    )


def _faults(found: Diagnosis) -> tuple[tuple[Light, bool, str], ...]:
    """Returns everything that can be wrong, the gravest first: its light, whether it is so, and the words."""
    times = f"The learned energy is {found.bound_used:.1f} times its bound 1 / (2 alpha)"
    return (
        (
            "red",
            found.gap < 0,
            f"The learned energy is lower on noise than on data (gap {found.gap:.2f}): it has learned nothing, or collapsed.",
        ),
        (
            "red",
            found.drift > DRIFTED,
            f"Long chains leave the data's energies by {found.drift:.1f} of their standard deviations: what the model holds "
            "likely is not the data.",
        ),
        (
            "red",
            found.bound_used > 2,
            f"{times}: training is far from its optimum; a smaller rate may help.",
        ),
        (
            "red",
            found.effective < GONE and found.r_hat_energy > UNMIXED,
            f"Only {found.effective:.1%} of the noise counts as draws of the model, and chains disagree on the energy (R-hat "
            f"{found.r_hat_energy:.2f}): modes are lost, or wells have been dug where no data is.",
        ),
        (
            "amber",
            found.effective < THIN,
            f"Only {found.effective:.1%} of the noise counts as draws of the model: log Z is a guess.",
        ),
        (
            "amber",
            found.acceptance < 0.2,
            f"MALA accepts only {found.acceptance:.0%} of its steps: the energy is rough.",
        ),
        (
            "amber",
            found.r_hat_energy > UNMIXED,
            f"Chains disagree on the energy (R-hat {found.r_hat_energy:.2f}): it has wells that they do not leave.",
        ),
        ("amber", found.bound_used > 1.2, f"{times}."),
        (
            "amber",
            found.condition > SINGULAR,
            f"The covariance's condition number is {found.condition:.0e}: some directions hardly vary.",
        ),
    )


def _chains(subject: ToDiagnose, seed: int) -> dict[str, object]:
    """Returns what chains begun at data find."""
    generator = torch.Generator(subject.z.device).manual_seed(seed)
    space = Whitened(subject.energy, subject.mixture)
    rows = torch.randint(len(subject.z), (CHAINS,), device=subject.z.device, generator=generator)
    first = MALA(steps=STEPS, step_size=0.5 * subject.z.shape[1] ** (-1 / 3))
    sampler, settled = tune_step_size(
        first, space, space.whiten(subject.z[rows]), generator, rounds=SETTLING
    )
    path = sampler.path(space, settled, generator)
    flat = space.unwhiten(path.flatten(0, 1))
    energy = score(subject.energy, flat).reshape(path.shape[:2])
    classes = subject.mixture.nearest_class(flat).view(path.shape[:2]).cpu().numpy()
    data = score(subject.energy, subject.z)
    return {
        "acceptance": sampler.acceptance(space, path),
        "step_size": sampler.step_size,
        "r_hat_energy": split_r_hat(energy),
        "r_hat_class": split_r_hat(classes),
        "ess_energy": effective_size(energy),
        "ess_class": effective_size(classes),
        "switches": _switches(classes, len(subject.mixture.means)),
        "drift": float(abs(energy[-STEPS // 4 :].mean() - data.mean()) / max(data.std(), 1e-12)),
    }


def condition(mixture: GaussianMixture) -> float:
    """Returns the largest over the smallest eigenvalue of the mixture's covariance, as it was fitted."""
    lengths = mixture.whitener.double().square().sum(0)
    return float(lengths.max() / lengths.min())


def split_r_hat(values: NDArray) -> float:
    """Returns the split R-hat of chains, (steps, chains): sqrt of pooled variance over variance within half chains.

    1 where all halves look alike; nan where nothing varies at all. Reference: Gelman et al. 2013, section 11.4.
    """
    half = len(values) // 2
    halves = np.concatenate([values[:half], values[half : 2 * half]], 1).astype(float)
    within, between = halves.var(0, ddof=1).mean(), halves.mean(0).var(ddof=1)
    if within == 0:
        return math.nan if between == 0 else math.inf
    return math.sqrt((half - 1) / half + between / within)


def effective_size(values: NDArray) -> float:
    """Returns how many independent draws chains, (steps, chains), are worth together; nan where nothing varies.

    Autocorrelations are summed in pairs until a pair is negative. Reference: Geyer 1992; Gelman et al. 2013, section 11.5.
    """
    steps, chains = values.shape
    centred = values - values.mean(0)
    spectrum = np.abs(np.fft.rfft(centred, 2 * steps, axis=0)) ** 2
    covariance = np.fft.irfft(spectrum, axis=0)[:steps].mean(1) / steps
    within = covariance[0] * steps / (steps - 1)
    pooled = covariance[0] + (values.mean(0).var(ddof=1) if chains > 1 else 0.0)
    if pooled == 0:
        return math.nan
    correlation = 1 - (within - covariance * steps / (steps - 1)) / pooled
    correlation[0] = 1.0
    pairs = correlation[: steps // 2 * 2].reshape(-1, 2).sum(1)
    ends = np.flatnonzero(pairs < 0)
    kept = np.minimum.accumulate(pairs[: ends[0] if len(ends) else None])
    return float(
        min(
            steps * chains / max(2 * kept.sum() - 1, 1e-12),
            steps * chains * math.log10(steps * chains),
        )
    )


def _switches(classes: NDArray, count: int) -> tuple[tuple[int, ...], ...]:
    """Returns how often a step went from one class to another, (count, count), from (steps, chains) classes."""
    table = np.zeros((count, count), dtype=int)
    np.add.at(table, (classes[:-1], classes[1:]), 1)
    return tuple(map(tuple, table.tolist()))
