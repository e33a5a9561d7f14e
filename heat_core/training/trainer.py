"""The training loop: networks that learn an energy by an objective, and records of it."""

from __future__ import annotations

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

from heat_core.arguments import check_seed
from heat_core.energies import Energy, Network
from heat_core.log_partition import log_z_of_weights
from heat_core.progress import report_progress
from heat_core.threads import torch_threads

from .negatives import DrawPoints, report_negatives
from .objectives import Objective

MIN_VAL_NEGATIVES = 1000  # negatives that a validation loss is taken over, at least
EMA_WARM_UP = 10  # the moving average forgets its first steps: its decay is at most t / (t + 10)

# -- what a training is told, and what it tells ----------------------------------------------------


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training, whatever its loss.

    AdamW, a moving average of the weights, and a choice of which average is kept, by data held out
    of training. No OOD data is seen.

    Args:
        steps: optimiser steps, where `epochs` does not say them.
        epochs: passes over the data; 0 takes `steps`.
        batch: rows of data, and as many negatives, a step.
        lr: learning rate of AdamW.
        weight_decay: of AdamW; without it, it is Adam.
        betas: of AdamW.
        schedule: the learning rate falls along a `cosine` to 0, stays `constant`, or falls to a
            tenth half-way (`step`).
        ema_decay: largest decay of the weights' moving average; 0 keeps the weights themselves.
        jitter: standard deviation of what is added to the networks' inputs, drawn from a Gaussian.
        bfloat16: whether the networks' products are made in bfloat16, which is several times faster
            where the chip has it; weights, optimiser and everything else stay in float32.
        keep: the `best` average by the validation loss, or the `last`.
        val_fraction: the share of the data that only validates, between 0 and 1.
        log_points: how often the average is evaluated and `on_record` called.
        limit: training has diverged once the mean |E_theta| of validation data or negatives is
            larger.

    Raises ValueError on values with which nothing can train.

    >>> config = TrainConfig(epochs=2, batch=100, lr=1e-3)
    >>> config.total_steps(rows=450)
    10
    >>> config.lr_factor(0.5)
    0.5
    """

    steps: int = 1000
    epochs: int = 0
    batch: int = 512
    lr: float = 1e-3
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    ema_decay: float = 0.99
    jitter: float = 0.0
    bfloat16: bool = False
    keep: Literal["best", "last"] = "best"
    val_fraction: float = 0.1
    log_points: int = 25
    limit: float = 1e6

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))  # a file gives a list
        for name in ("steps", "batch", "log_points"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 < self.val_fraction < 1:
            raise ValueError(f"val_fraction must lie between 0 and 1, got {self.val_fraction}.")

    def total_steps(self, rows: int) -> int:
        """Returns the optimiser steps of a training on so many rows."""
        if self.epochs:
            return self.epochs * math.ceil(rows / self.batch)
        return self.steps

    def lr_factor(self, progress: float) -> float:
        """Returns the learning rate as a share of `lr`, at a share of the steps in [0, 1]."""
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        if self.schedule == "step" and progress >= 0.5:
            return 0.1
        return 1.0

    def ema_weight(self, step: int) -> float:
        """Returns how much of the weights after a step, counted from 1, enters their average."""
        return 1 - min(self.ema_decay, step / (step + EMA_WARM_UP))


@dataclass(frozen=True)
class Record:
    """One line of a training's history.

    Args:
        step: how many steps are done.
        steps: how many there are.
        loss: mean over the stretch since the last record (2 log 2 nats where a logistic critic
            cannot tell data from negatives).
        val_loss: the objective on data held out of training, with the averaged weights; smaller is
            better.
        data_energy: mean E_theta of the held-out data.
        negative_energy: mean E_theta of the held-out negatives; less `data_energy` it is the
            energy gap.
        seconds: since the training began.
        log_z_to_noise: log of the mean of exp(-E_theta) over the negatives: where they are noise of
            density n, log Z of n exp(-E_theta), 0 for a self-normalised model.
        effective: the effective share of the noise as weighted draws of the model, in (0, 1];
            where it is small, log_z_to_noise is a guess.

    >>> record = Record(100, 800, 1.21, 1.25, data_energy=-0.4, negative_energy=0.3, seconds=2.0)
    >>> round(record.negative_energy - record.data_energy, 1)
    0.7
    """

    step: int
    steps: int
    loss: float
    val_loss: float
    data_energy: float
    negative_energy: float
    seconds: float
    log_z_to_noise: float = math.nan
    effective: float = math.nan


OnRecord = Callable[[Record, Energy], None]
"""A callback of a training: its new record, and the energy that it trains."""


def ignore(record: Record, energy: Energy) -> None:
    """The callback that does nothing."""


class Diverged(ArithmeticError):
    """Training left what numbers can hold, or what an energy can be."""


@dataclass(frozen=True, eq=False)
class TrainingTask:
    """A network, its training data and its negatives.

    Args:
        network: E_theta, a part of `energy`; trained in place, it holds the averaged weights.
        z: (N, d) data as the network sees it, on its device; at least 2 rows.
        sample_negatives: draws what z is contrasted with, noise of a density n or pseudo-OOD
            features; chains that sample the model begin there.
        energy: the whole energy, for the callback.
        prior: the energy that is added to E_theta in the model; None without one.
        validation: data and negatives held out of training, (M, d) and (K, d); by default a share
            of z and fresh draws.
    """

    network: Network
    z: Tensor
    sample_negatives: DrawPoints
    energy: Energy
    prior: Energy | None = None
    validation: tuple[Tensor, Tensor] | None = None


# -- the loop --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trainer:
    """Trains networks in place, several at once, each as it would alone.

    Args:
        objective: the loss, and where negatives come from.
        config: optimiser, schedule, and which weights are kept.

    >>> z = 0.5 * torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    >>> network = Network(1, width=8, depth=1)
    >>> def sample_noise(count, generator):
    ...     return 2 * torch.randn(count, 1, generator=generator)
    >>> config = TrainConfig(steps=20, batch=64, lr=1e-2)
    >>> from heat_core.training.objectives import NoiseContrastive
    >>> Trainer(NoiseContrastive(), config).fit([TrainingTask(network, z, sample_noise, network)])
    >>> near, far = network(torch.tensor([[0.0], [4.0]]))
    >>> bool(near < far)
    True
    """

    objective: Objective
    config: TrainConfig = TrainConfig()

    def fit(
        self, tasks: Sequence[TrainingTask], seed: int = 0, on_record: OnRecord = ignore
    ) -> None:
        """Trains the networks of the tasks in place.

        Args:
            tasks: of networks of one form, and one energy. Records are means over them.
            seed: n tasks take the seeds n seed, n seed + 1, ...
            on_record: called `log_points` times.

        Raises:
            ValueError: there are several, and negatives are samples of the model.
            Diverged: a loss is not finite, or energies explode; the networks get the
                weights kept so far.
        """
        seed = check_seed(seed)
        if len(tasks) > 1 and self.objective.samples_model:
            raise ValueError(
                f"{type(self.objective).__name__} draws negatives from the model, so its networks "
                "train one at a time."
            )
        with torch_threads(1):
            self._train(tasks, seed, on_record)

    def _train(self, tasks: Sequence[TrainingTask], seed: int, on_record: OnRecord) -> None:
        networks = NetworksInTraining(self.objective, self.config, tasks, seed)
        steps = self.config.total_steps(len(networks.states[0].train))
        with_record = steps_with_record(steps, self.config.log_points)
        loss_sum = torch.zeros(len(tasks), device=tasks[0].z.device)
        last_logged = 0
        start = time.perf_counter()
        for step in range(1, steps + 1):
            report_progress("training", (step - 1) / steps)
            lr = self.config.lr * self.config.lr_factor((step - 1) / steps)
            loss_sum += networks.step(lr, self.config.ema_weight(step))
            if step in with_record:
                losses = (loss_sum / (step - last_logged)).tolist()
                seconds = time.perf_counter() - start
                record = networks.evaluate(step, steps, losses, seconds)
                report_negatives(networks.states[0].negatives)
                on_record(record, tasks[0].energy)
                loss_sum.zero_()
                last_logged = step
        networks.restore()


def steps_with_record(steps: int, log_points: int) -> set[int]:
    """Returns the steps after which a record is made, the last one among them.

    >>> sorted(steps_with_record(10, 4))
    [2, 5, 8, 10]
    """
    return {round(steps * (i + 1) / log_points) for i in range(log_points)}


class NetworksInTraining:
    """Networks under training, and their optimiser.

    One network is trained as it is, several as one with stacked weights (torch.vmap). The tasks'
    own networks hold the averaged weights.

    Args:
        objective, config: as `Trainer` has them.
        tasks, seed: as `Trainer.fit` takes them.
    """

    def __init__(
        self, objective: Objective, config: TrainConfig, tasks: Sequence[TrainingTask], seed: int
    ) -> None:
        self.objective = objective
        self.config = config
        self.states = [
            TrainState(objective, config, task, len(tasks) * seed + i)
            for i, task in enumerate(tasks)
        ]
        self.template = self.states[0].raw_network
        self.stacked = len(tasks) > 1
        if self.stacked:
            raw_networks = [state.raw_network for state in self.states]
            self.parameters, self.buffers = stack_module_state(raw_networks)  # type: ignore[arg-type]
            self.weights = list(self.parameters.values())
        else:
            self.weights = list(self.template.parameters())
        averaged = [task.network.parameters() for task in tasks]
        self.averaged_weights = [list(values) for values in zip(*averaged, strict=True)]
        self.optimizer = torch.optim.AdamW(
            self.weights, weight_decay=config.weight_decay, betas=config.betas
        )

    def step(self, lr: float, ema_weight: float) -> Tensor:
        """Takes a step, and returns the losses before it, (networks,).

        Args:
            lr: the learning rate.
            ema_weight: how much of the new weights enters their average.
        """
        self.optimizer.param_groups[0]["lr"] = lr
        losses = self.losses()
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimizer.step()
        self._update_averages(ema_weight)
        return losses.detach()

    def losses(self) -> Tensor:
        """Returns the losses of the networks on their next batches, (networks,)."""
        if not self.stacked:
            energies = self.template(self.states[0].next_batch())
            return self._loss(energies)[None]
        batches = torch.stack([state.next_batch() for state in self.states])
        return torch.vmap(self._stacked_loss)(self.parameters, self.buffers, batches)

    def _stacked_loss(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: Tensor
    ) -> Tensor:
        """Returns the loss of one of the stacked networks on its batch, (2 batch, d), a scalar."""
        return self._loss(functional_call(self.template, (parameters, buffers), (batch,)))

    def _loss(self, energies: Tensor) -> Tensor:
        """Returns the loss of energies of data, then of negatives, (2 batch,), as a scalar."""
        data_energy, negative_energy = energies.split(self.config.batch)
        return self.objective.loss(data_energy, negative_energy)

    @torch.no_grad()
    def _update_averages(self, ema_weight: float) -> None:
        for averaged, weight in zip(self.averaged_weights, self.weights, strict=True):
            weights = list(weight) if self.stacked else [weight]
            torch._foreach_lerp_(averaged, weights, ema_weight)  # type: ignore[arg-type]

    def evaluate(self, step: int, steps: int, losses: Sequence[float], seconds: float) -> Record:
        """Returns the record of a step, a mean over the networks. Raises Diverged."""
        records = [
            state.evaluate(step, steps, loss, seconds)
            for state, loss in zip(self.states, losses, strict=True)
        ]
        return mean_record(records)

    def restore(self) -> None:
        """Puts the weights that are kept into the tasks' networks."""
        for state in self.states:
            state.restore()


class TrainState:
    """The state of one task's training: its data, negatives, networks, and the weights kept.

    The raw network takes the optimiser's steps; the averaged one, the task's own, holds the moving
    average of its weights.

    Args:
        objective, config: as `Trainer` has them.
        task: what is learned from what.
        seed: of everything random in the task.
    """

    def __init__(
        self, objective: Objective, config: TrainConfig, task: TrainingTask, seed: int
    ) -> None:
        self.objective = objective
        self.config = config
        self.averaged_network = task.network
        self.generator = torch.Generator(task.z.device).manual_seed(seed)
        self._split_validation(task)
        self.raw_network = copy.deepcopy(task.network.randomise(self.generator))
        self.raw_network.in_bfloat16 = config.bfloat16
        self.negative_sampler = objective.negative_sampler(
            task.sample_negatives, self.raw_network, task.prior, config.bfloat16
        )
        self.kept_loss = math.inf
        self.kept_weights: dict[str, Tensor] = {}
        self.negatives = task.z[:0]  # of the last step

    def _split_validation(self, task: TrainingTask) -> None:
        """Sets data to train on, (N, d), and what validates, data (M, d) and negatives (K, d)."""
        if task.validation is not None:
            self.train = task.z
            self.val_data, self.val_negatives = task.validation
            return
        order = torch.randperm(len(task.z), device=task.z.device, generator=self.generator)
        count = max(1, round(self.config.val_fraction * len(task.z)))
        self.train = task.z[order[count:]]
        self.val_data = task.z[order[:count]]
        self.val_negatives = task.sample_negatives(max(count, MIN_VAL_NEGATIVES), self.generator)

    def next_batch(self) -> Tensor:
        """Returns a step's input: data, then as many negatives, (2 batch, d)."""
        size = self.config.batch
        z = self.train
        rows = torch.randint(len(z), (size,), device=z.device, generator=self.generator)
        self.negatives = self.negative_sampler(size, self.generator)
        batch = torch.cat([z[rows], self.negatives])
        if self.config.jitter:
            jitter = torch.randn(
                batch.shape, device=z.device, dtype=z.dtype, generator=self.generator
            )
            batch += self.config.jitter * jitter
        return batch

    @torch.no_grad()
    def evaluate(self, step: int, steps: int, loss: float, seconds: float) -> Record:
        """Returns the record of a step, and keeps the averaged weights as `keep` says.

        Raises Diverged, with the weights that are kept back in the task's network.
        """
        data_energy = self.averaged_network(self.val_data)
        negative_energy = self.averaged_network(self.val_negatives)
        val_loss = float(self.objective.evaluate(data_energy, negative_energy))
        self._check_finite(step, loss, val_loss)
        self._check_limit(step, data_energy, negative_energy)
        if self.config.keep == "last" or val_loss < self.kept_loss:
            self.kept_loss = val_loss
            state = self.averaged_network.state_dict()
            self.kept_weights = {name: value.clone() for name, value in state.items()}
        to_noise = log_z_of_weights(-negative_energy)
        return Record(
            step,
            steps,
            loss,
            val_loss,
            float(data_energy.mean()),
            float(negative_energy.mean()),
            seconds,
            to_noise.value,
            to_noise.effective,
        )

    def _check_finite(self, step: int, loss: float, val_loss: float) -> None:
        if math.isfinite(loss) and math.isfinite(val_loss):
            return
        self.restore()
        name, value = ("loss", loss) if not math.isfinite(loss) else ("validation loss", val_loss)
        raise Diverged(
            f"training diverged by step {step}: the {name} is {value}. "
            f"Try a learning rate below {self.config.lr}."
        )

    def _check_limit(self, step: int, data_energy: Tensor, negative_energy: Tensor) -> None:
        """Raises Diverged where energies, (M,) and (K,), are larger than the limit."""
        of_data = float(data_energy.abs().mean())
        of_negatives = float(negative_energy.abs().mean())
        if not max(of_data, of_negatives) > self.config.limit:
            return
        self.restore()
        raise Diverged(
            f"energies exploded by step {step}: their size is {of_data:.3g} for data and "
            f"{of_negatives:.3g} for negatives, on average, above {self.config.limit:g}. "
            f"Try a learning rate below {self.config.lr}, or more regularisation."
        )

    def restore(self) -> None:
        """Puts the weights that are kept into the task's network."""
        if self.kept_weights:
            self.averaged_network.load_state_dict(self.kept_weights)


def mean_record(records: Sequence[Record]) -> Record:
    """Returns the record of the means of one step's records."""
    columns = zip(*map(astuple, records), strict=True)
    _, _, *means = [statistics.fmean(values) for values in columns]
    return Record(records[0].step, records[0].steps, *means)
