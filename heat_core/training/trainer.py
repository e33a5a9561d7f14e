"""How an energy with no formula learns: objectives, one loop for all of them, and a record of each stretch for a callback."""

from __future__ import annotations

import abc
import copy
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state

from heat_core.energies import Energy, Network
from heat_core.log_partition import of_weights

from .negatives import NoiseSampler


@dataclass(frozen=True)
class Record:
    """One line of a training's history.

    Args:
        step, steps: done, in all.
        loss: mean over the stretch since the last record (2 log 2 nats where a logistic critic takes data for noise).
        held_out: what is judged on data held out of training, with the averaged weights; smaller is better.
        inside, outside: mean E_theta of the held-out data and of noise; their difference is the energy gap.
        seconds: since the training began.
        log_z: log of the mean of exp(-E_theta) over noise: 0 for a self-normalised model.
        effective: the effective share of the noise as weighted draws of the model, in (0, 1]; small: log_z is a guess.
    """

    step: int
    steps: int
    loss: float
    held_out: float
    inside: float
    outside: float
    seconds: float
    log_z: float = math.nan
    effective: float = math.nan


OnRecord = Callable[[Record, Energy], None]


def ignore(record: Record, energy: Energy) -> None:
    """The callback that does nothing."""


class Diverged(ArithmeticError):
    """Training left what numbers can hold, or what an energy can be."""


@dataclass(frozen=True, eq=False)
class TrainingTask:
    """What is to be learned from what.

    Args:
        network: E_theta, a part of `energy`; it is trained in place, and holds the averaged weights meanwhile.
        z: (N, d) data as the network sees it, on its device; at least 2 rows.
        noise: draws from n.
        energy: the whole; the callback is shown it.
        prior: what is added to E_theta where the model's own draws are wanted.
        judges: data and noise held out of training; a share of z and fresh noise if not given.
    """

    network: Network
    z: Tensor
    noise: NoiseSampler
    energy: Energy
    prior: Energy | None = None
    judges: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Objective(abc.ABC):
    """An energy learns to tell data from negatives; what it learns lies in the loss, and in where the negatives come from.

    AdamW, a moving average of the weights, and a choice of which average is kept, by data held out of training. No OOD data
    is seen.

    Args:
        steps: optimiser steps, where `epochs` does not say them.
        epochs: passes over the data; 0 takes `steps`.
        batch: rows of data, and as many negatives, a step.
        rate, weight_decay, betas: of AdamW; without weight decay it is Adam.
        schedule: the rate falls along a cosine to 0, stays constant, or falls to a tenth half-way (`step`).
        averaging: the longest memory of the moving average is 1 / (1 - averaging) steps; 0 keeps the weights themselves.
        jitter: deviation of Gaussian noise that is added to the network's inputs.
        bfloat16: whether the network's products are made in bfloat16, which is several times faster where the chip has it;
            weights, optimiser and everything else stay in float32.
        keep: the `best` average by the held-out data, or the `last`.
        held_out: the share of the data that only judges.
        records: how often the average is judged and `on_record` called.
        limit: training has diverged once the mean |E_theta| of the held-out data or of noise is larger.
    """

    steps: int = 1000
    epochs: int = 0
    batch: int = 512
    rate: float = 1e-3
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    averaging: float = 0.99
    jitter: float = 0.0
    bfloat16: bool = False
    keep: Literal["best", "last"] = "best"
    held_out: float = 0.1
    records: int = 25
    limit: float = 1e6

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))  # a file gives a list
        for name in ("steps", "batch", "records"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must lie between 0 and 1, got {self.held_out}.")

    @abc.abstractmethod
    def loss(self, inside: Tensor, outside: Tensor) -> Tensor:
        """Returns the loss of energies of data and of negatives, (N,) each."""

    def verdict(self, inside: Tensor, outside: Tensor) -> Tensor:
        """Returns what is judged of energies of held-out data and of noise; the loss, where negatives are noise."""
        return self.loss(inside, outside)

    def negatives(self, task: TrainingTask, network: Network) -> NoiseSampler:
        """Returns where the negatives of a network under training come from."""
        return task.noise

    def share(self, done: float) -> float:
        """Returns the learning rate as a share of `rate`, once a share of the steps is done."""
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        return 0.1 if self.schedule == "step" and done >= 0.5 else 1.0

    def fit(self, tasks: Sequence[TrainingTask], seed: int, on_record: OnRecord = ignore) -> None:
        """Trains the networks of the tasks in place, several at once; each as it would alone, with a seed of its own.

        Args:
            tasks: of networks of one form, and one energy. Records are means over them.
            seed: n tasks take the seeds n seed, n seed + 1, ...

        Raises:
            ValueError: there are several, and negatives come from the model, whose chains run one network at a time.
            Diverged: a loss is not finite, or energies explode; the networks keep their best weights so far.
        """
        if len(tasks) > 1 and type(self).negatives is not Objective.negatives:
            raise ValueError(
                f"{type(self).__name__} draws negatives from the model, so its networks train one at a time."
            )
        students = Trainer(self, tasks, seed)
        learners = students.learners
        steps = self.epochs * math.ceil(len(learners[0].train) / self.batch) or self.steps
        total, last, began = (
            torch.zeros(len(tasks), device=tasks[0].z.device),
            0,
            time.perf_counter(),
        )
        stops = {round(steps * (i + 1) / self.records) for i in range(self.records)}
        for step in range(1, steps + 1):
            total += students.step(
                self.rate * self.share((step - 1) / steps),
                1 - min(self.averaging, step / (step + 10)),
            )
            if step in stops:
                means, seconds = (total / (step - last)).tolist(), time.perf_counter() - began
                records = [
                    one.judged(step, steps, mean, seconds)
                    for one, mean in zip(learners, means, strict=True)
                ]
                on_record(mean_record(records), tasks[0].energy)
                total.zero_()
                last = step
        for learner in learners:
            learner.restore()


def mean_record(records: Sequence[Record]) -> Record:
    """Returns the record of means of one step's records."""
    means = [statistics.fmean(values) for values in zip(*map(astuple, records), strict=True)]
    return Record(records[0].step, records[0].steps, *means[2:])


class _TrainState:
    """One task: its draws, what is held out of it, how good its averaged network is on that, and the best one's weights."""

    def __init__(self, objective: Objective, task: TrainingTask, seed: int) -> None:
        self.objective, self.task = objective, task
        self.generator = torch.Generator(task.z.device).manual_seed(seed)
        if task.judges is not None:
            self.train, (self.inside, self.outside) = task.z, task.judges
        else:
            order = torch.randperm(len(task.z), device=task.z.device, generator=self.generator)
            count = max(1, round(objective.held_out * len(task.z)))
            self.train, self.inside = task.z[order[count:]], task.z[order[:count]]
            self.outside = task.noise(max(count, 1000), self.generator)
        self.student = copy.deepcopy(task.network.randomise(self.generator))
        self.student.in_bfloat16 = objective.bfloat16
        self.negatives = objective.negatives(task, self.student)
        self.best, self.weights = math.inf, {}

    def drawn(self) -> Tensor:
        """Returns a step's input, (2 batch, d): data, then negatives."""
        batch, z = self.objective.batch, self.train
        rows = torch.randint(len(z), (batch,), device=z.device, generator=self.generator)
        seen = torch.cat([z[rows], self.negatives(batch, self.generator)])
        if self.objective.jitter:
            seen += self.objective.jitter * torch.randn(
                seen.shape, device=z.device, dtype=z.dtype, generator=self.generator
            )
        return seen

    @torch.no_grad()
    def judged(self, step: int, steps: int, loss: float, seconds: float) -> Record:
        """Returns the record of a step. Raises Diverged, with the best weights back in the network."""
        network, rate = self.task.network, self.objective.rate
        inside, outside = network(self.inside), network(self.outside)
        verdict, low, high = (
            float(self.objective.verdict(inside, outside)),
            float(inside.mean()),
            float(outside.mean()),
        )
        if not math.isfinite(loss + verdict):
            self.restore()
            raise Diverged(
                f"training diverged by step {step}: the loss is {loss}. Try a rate below {rate}."
            )
        if max(float(inside.abs().mean()), float(outside.abs().mean())) > self.objective.limit:
            self.restore()
            raise Diverged(
                f"energies exploded by step {step}: they are {low:.3g} for data and {high:.3g} for noise. "
                f"Try a rate below {rate}, or more regularisation."
            )
        if self.objective.keep == "last" or verdict < self.best:
            self.best, self.weights = (
                verdict,
                {name: value.clone() for name, value in network.state_dict().items()},
            )
        z = of_weights(-outside)
        return Record(step, steps, loss, verdict, low, high, seconds, z.value, z.effective)

    def restore(self) -> None:
        if self.weights:
            self.task.network.load_state_dict(self.weights)


class Trainer:
    """The networks under training and their optimiser: one network as it is, several as one with stacked weights (torch.vmap).

    Args:
        tasks, seed: as `Objective.fit` takes them. The tasks' networks hold the averaged weights.
    """

    def __init__(self, objective: Objective, tasks: Sequence[TrainingTask], seed: int) -> None:
        self.objective = objective
        self.learners = learners = [
            _TrainState(objective, task, len(tasks) * seed + i) for i, task in enumerate(tasks)
        ]
        self.form = learners[0].student
        self.stacked = len(learners) > 1
        if self.stacked:
            students = [learner.student for learner in learners]
            self.parameters, self.buffers = stack_module_state(students)  # type: ignore[arg-type]
            self.weights = list(self.parameters.values())
        else:
            self.weights = list(self.form.parameters())
        self.averages = [
            list(values)
            for values in zip(*(one.task.network.parameters() for one in learners), strict=True)
        ]
        self.optimizer = torch.optim.AdamW(
            self.weights, weight_decay=objective.weight_decay, betas=objective.betas
        )

    def step(self, rate: float, share: float) -> Tensor:
        """Makes a step at a learning rate, averages a share of it in, and returns the losses before it, (networks,)."""
        self.optimizer.param_groups[0]["lr"] = rate
        losses = self.losses()
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimizer.step()
        self.average(share)
        return losses.detach()

    def losses(self) -> Tensor:
        """Returns the losses of a step, (networks,)."""
        if not self.stacked:
            return self.objective.loss(
                *self.form(self.learners[0].drawn()).split(self.objective.batch)
            )[None]
        drawn = torch.stack([learner.drawn() for learner in self.learners])
        return torch.vmap(self._loss)(self.parameters, self.buffers, drawn)

    def _loss(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], seen: Tensor
    ) -> Tensor:
        energies = functional_call(self.form, (parameters, buffers), (seen,))
        return self.objective.loss(*energies.split(self.objective.batch))

    @torch.no_grad()
    def average(self, share: float) -> None:
        """Moves the averaged weights, which the tasks' networks hold, a share of the way to the present ones."""
        for averages, weight in zip(self.averages, self.weights, strict=True):
            torch._foreach_lerp_(averages, list(weight) if self.stacked else [weight], share)  # type: ignore
