"""An energy is a function E: R^d -> R, large where data is rare: p(z) is proportional to exp(-E(z)).

Energies add and divide by a temperature. Every detector ends as an energy, and the energy is the score: larger is more
out-of-distribution. Constants that do not depend on z may be left out, except where a `log_prob` is promised.
"""

from __future__ import annotations

import abc
import copy
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heat_core.features import Features, Head, Moments


class Energy(nn.Module, abc.ABC):
    """A scalar field: `forward` maps (N, d) to (N,)."""

    @abc.abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Returns the energy of each row, (N,), in the precision of z."""

    def fit(self, train: Features) -> Self:
        """Returns self with whatever has a closed form set from the training features; goes into the children."""
        for child in self.children():
            if isinstance(child, Energy):
                child.fit(train)
        return self

    def terms(self) -> tuple[Energy, ...]:
        """Returns the energies that add up to this one, in order."""
        return (self,)

    def __add__(self, other: Energy) -> Sum:
        return Sum(*self.terms(), *other.terms())

    def __truediv__(self, temperature: float) -> Tempered:
        return Tempered(self, temperature)


class Sum(Energy):
    """E(z) = sum_i E_i(z): the product of the densities."""

    def __init__(self, *energies: Energy) -> None:
        super().__init__()
        self.energies = nn.ModuleList(energies)

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([energy(z) for energy in self.energies]).sum(0)

    def fit(self, train: Features) -> Self:
        for energy in self.terms():
            energy.fit(train)
        return self

    def terms(self) -> tuple[Energy, ...]:
        return tuple(self.energies)  # type: ignore[arg-type]


class Tempered(Energy):
    """E(z) / T: a temperature above 1 flattens the density."""

    temperature: Tensor

    def __init__(self, energy: Energy, temperature: float) -> None:
        super().__init__()
        self.energy = energy
        self.register_buffer("temperature", torch.tensor(float(temperature)))

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(z) / self.temperature


class Normalized(Energy):
    """E(z / ||z||): an energy on the unit sphere."""

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(unit(z))

    def fit(self, train: Features) -> Self:
        self.energy.fit(on_sphere(train))
        return self

    def terms(self) -> tuple[Energy, ...]:
        return tuple(Normalized(term) for term in self.energy.terms())


class Columns(Energy):
    """The energy of some columns of its input: of one view, where several lie side by side.

    Args:
        energy: of (N, width).
        view: which view they are, for fitting; `z` for the features themselves.
        start, width: where the view lies in the input.
    """

    def __init__(self, energy: Energy, view: str, start: int, width: int) -> None:
        super().__init__()
        self.energy, self.view, self.start, self.width = energy, view, start, width

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(z[:, self.start : self.start + self.width])

    def fit(self, train: Features) -> Self:
        self.energy.fit(train.view(self.view))
        return self

    def terms(self) -> tuple[Energy, ...]:
        return tuple(Columns(term, self.view, self.start, self.width) for term in self.energy.terms())


class Polar(Energy):
    """The energy of directions and log lengths, [v / ||v||, log ||v||] for each view v of its input, standardised.

    Fitting standardises; the energy inside is left as it is.

    Args:
        energy: of (N, sum of (width + 1)).
        views: {name: width}, side by side in this order; columns after them are not read.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, energy: Energy, views: Mapping[str, int]) -> None:
        super().__init__()
        self.energy, self.views = energy, dict(views)
        self.register_buffer("shift", torch.zeros(sum(views.values()) + len(views)))
        self.register_buffer("scale", torch.ones(sum(views.values()) + len(views)))

    def map(self, z: Tensor) -> Tensor:
        """Returns what the energy inside sees of the input: every column with mean 0 and deviation 1 on training data."""
        return (self._polar(z) - self.shift) / self.scale

    def _polar(self, z: Tensor) -> Tensor:
        widths = list(self.views.values())
        blocks = z[:, : sum(widths)].split(widths, 1)
        return torch.cat([part for v in blocks for part in (unit(v), v.norm(dim=1, keepdim=True).clamp(min=1e-12).log())], 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(self.map(z))

    def fit(self, train: Features) -> Self:
        seen = train.columns(list(self.views))
        self.shift, self.scale = standards(self._polar(seen.to(working_precision(seen))))
        return self


class Composition(Energy):
    """Energies on one scale, put together: the sum of w_i e_i, with e_i the i-th energy in its own standard deviations.

    With beta other than 0 the sum gives way to logsumexp(beta w_i e_i) / beta: towards the largest (beta = inf), or the
    smallest (-inf). Reference: Du et al. 2020, arXiv:2004.06030, for products and mixtures of energies.

    Args:
        energies: all of the same input.
        weights: w_i, one an energy.
        beta: how the parts are put together.
    """

    weights: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, energies: Sequence[Energy], weights: Sequence[float], beta: float = 0.0) -> None:
        super().__init__()
        self.energies, self.beta = nn.ModuleList(energies), beta
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.get_default_dtype()))
        self.register_buffer("shift", torch.zeros(len(energies)))
        self.register_buffer("scale", torch.ones(len(energies)))

    def fit(self, train: Features) -> Self:
        for energy in self.energies:
            energy.fit(train)  # type: ignore[operator]
        return self

    def standardise(self, z: Tensor) -> Self:
        """Returns self with every part's mean and standard deviation set to those on ID input z."""
        values = np.stack([score(energy, z) for energy in self.energies])  # type: ignore[arg-type]
        self.shift = torch.from_numpy(values.mean(1)).to(self.shift)
        self.scale = torch.from_numpy(values.std(1)).clamp(min=1e-12).to(self.scale)
        return self

    def parts(self, z: Tensor) -> Tensor:
        """Returns (N, parts): what each part adds, in standard deviations of ID data."""
        values = torch.stack([energy(z) for energy in self.energies], 1)
        return self.weights * (values - self.shift) / self.scale

    def forward(self, z: Tensor) -> Tensor:
        return self.together(self.parts(z))

    def together(self, parts: Tensor) -> Tensor:
        """Returns (N,): the weighted parts, (N, parts), put together."""
        if self.beta == 0:
            return parts.sum(1)
        if math.isinf(self.beta):
            return parts.amax(1) if self.beta > 0 else parts.amin(1)
        return (self.beta * parts).logsumexp(1) / self.beta


class Ensemble(Energy):
    """The mean of several energies of one form, such as networks trained from several seeds."""

    def __init__(self, energies: Sequence[Energy]) -> None:
        super().__init__()
        self.energies = nn.ModuleList(energies)

    def fit(self, train: Features) -> Self:
        for energy in self.energies:
            energy.fit(train)  # type: ignore[operator]
        return self

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([energy(z) for energy in self.energies]).mean(0)


class Given(Energy):
    """The input's only column: a score that was computed elsewhere."""

    def forward(self, z: Tensor) -> Tensor:
        return z[:, 0]


def unit(z: Tensor) -> Tensor:
    """Returns the rows divided by their Euclidean norms; a row of zeros stays."""
    return nn.functional.normalize(z, dim=-1)


def standards(z: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of each column, (d,) each; no deviation is below a thousandth of the largest."""
    wide = z.double()
    spread = wide.std(0, correction=0)
    return wide.mean(0).to(z.dtype), spread.clamp(min=1e-3 * spread.max().clamp(min=1e-6)).to(z.dtype)


def working_precision(z: Tensor) -> torch.dtype:
    """Returns float64 for float64 and float32 for anything less."""
    return torch.float64 if z.dtype == torch.float64 else torch.float32


def on_sphere(features: Features) -> Features:
    """Returns the features with z / ||z|| for z, at least in float32, and no head: logits need the norm."""
    z = features.z.to(working_precision(features.z))
    moments = {"z": features.moments["unit z"]} if "unit z" in features.moments else {}
    return Features(unit(z), features.y, None, {}, features.index, features.source, moments)


# -- arithmetic --------------------------------------------------------------------------------------------------------


def _products(z: Tensor, bank: Tensor, offset: Tensor) -> Tensor:
    """Returns z @ bank.T + offset, (N, M).

    In float32 on a CPU as a 1 x 1 convolution, whose kernels use wider registers than torch's matrix product does on AMD's
    processors.
    """
    if z.device.type != "cpu" or z.dtype != torch.float32 or not len(z) or not torch.backends.mkldnn.is_available():
        return torch.addmm(offset, z, bank.T)
    pixels = z.contiguous()[None, :, None].permute(0, 3, 1, 2)  # (1, d, N, 1), channels last: nothing is moved
    return nn.functional.conv2d(pixels, bank[:, :, None, None], offset).permute(0, 2, 3, 1)[0, :, 0]


# -- Gaussians ---------------------------------------------------------------------------------------------------------


class Gaussians(Energy):
    """Class-conditional Gaussians with one covariance: what `GaussianMixture` and `Mahalanobis` share.

    Fitting finds mu_c, the share pi_c of each class, and a whitener W with W Sigma W^T = I, so that a squared distance
    (z - mu_c)^T Sigma^-1 (z - mu_c) is ||W z - W mu_c||^2: one matrix product for all classes. The covariance is
    estimated in float64. Directions with (nearly) no variance are widened to 1e-9 of the largest one, which keeps the
    distances finite for rank-deficient features and changes nothing for others.

    Args:
        dim: d.
        classes: C.
    """

    log_shares: Tensor
    centre: Tensor
    whitener: Tensor
    means: Tensor
    log_volume: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("log_shares", torch.zeros(classes))  # log pi_c
        self.register_buffer("centre", torch.zeros(dim))  # the mean of everything, taken off first for precision
        self.register_buffer("whitener", torch.eye(dim))  # W^T
        self.register_buffer("means", torch.zeros(classes, dim))  # W (mu_c - centre)
        self.register_buffer("log_volume", torch.zeros(()))  # log sqrt det(2 pi Sigma)

    def fit(self, train: Features) -> Self:
        """Takes the moments that the features bring of a larger set, if they do; else those of the rows."""
        z = train.z.to(working_precision(train.z))
        given = train.moments.get("z")
        moments = moments_of(train) if given is None else given
        count, means, covariance = (
            getattr(moments, part).to(z.device, torch.float64) for part in ("count", "means", "covariance")
        )  # fmt: skip
        values, vectors = torch.linalg.eigh(covariance)
        values = values.clamp(min=1e-9 * values[-1].clamp(min=1e-12))
        whitener = vectors * values.rsqrt()
        centre = count @ means / count.sum()
        self.log_shares = (count / count.sum()).log().to(z.dtype)
        self.centre = centre.to(z.dtype)
        self.whitener = whitener.to(z.dtype).contiguous()  # eigh gives columns; a file gives rows, and sums round alike
        self.means = ((means - centre) @ whitener).to(z.dtype)
        self.log_volume = (0.5 * (values * (2 * math.pi)).log().sum()).to(z.dtype)
        return self

    def squared_distances(self, z: Tensor) -> Tensor:
        """Returns (N, C): the squared Mahalanobis distance of each row to each class, never in less than float32."""
        with torch.autocast(z.device.type, enabled=False):
            white = (z - self.centre) @ self.whitener
            own = white.square().sum(-1, keepdim=True) + self.means.square().sum(-1)
            return torch.addmm(own, white, self.means.T, alpha=-2).clamp(min=0)


def moments_of(train: Features, rows: int = 8192) -> Moments:
    """Returns the moments of z in float64. Blocks of `rows` rows are multiplied in z's precision and added up in float64."""
    z = train.z.to(working_precision(train.z))
    label = train.class_index.to(z.device)
    count = torch.bincount(label, minlength=len(train.classes)).double()
    centre = z.mean(0)
    total = torch.zeros(len(count), z.shape[1], dtype=torch.float64, device=z.device)
    for block, classed in zip(z.split(rows), label.split(rows), strict=True):
        total += torch.zeros_like(total, dtype=z.dtype).index_add_(0, classed, block - centre)
    means = total / count[:, None] + centre
    scatter = torch.zeros(z.shape[1], z.shape[1], dtype=torch.float64, device=z.device)
    own = means.to(z.dtype)
    for block, classed in zip(z.split(rows), label.split(rows), strict=True):
        rest = block - own[classed]
        scatter += rest.T @ rest
    return Moments(count, means, scatter / len(z))


class GaussianMixture(Gaussians):
    """E(z) = -log sum_c pi_c N(z; mu_c, Sigma): HEAT's prior, and the MoG detector.

    Reference: Lafon et al. 2022, eq. 10. The normaliser is kept, so `log_prob` is -E.
    """

    def forward(self, z: Tensor) -> Tensor:
        return self.log_volume - (self.log_shares - 0.5 * self.squared_distances(z)).logsumexp(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns log q(z), (N,)."""
        return -self(z)

    def sample(self, count: int, generator: torch.Generator | None = None, spread: float = 1.0) -> Tensor:
        """Returns (count, d) samples: a component first, then one draw; `spread` scales the standard deviations."""
        device = self.means.device
        component = torch.multinomial(self.log_shares.exp(), count, replacement=True, generator=generator)
        noise = torch.randn(count, len(self.centre), device=device, dtype=self.means.dtype, generator=generator)
        return (self.means[component] + spread * noise) @ self.colouring + self.centre

    def widened(self, spread: float) -> GaussianMixture:
        """Returns the mixture with deviations `spread` times as large."""
        wide = copy.deepcopy(self)
        wide.whitener, wide.means = self.whitener / spread, self.means / spread
        wide.log_volume = self.log_volume + len(self.centre) * math.log(spread)
        return wide

    def nearest_class(self, z: Tensor) -> Tensor:
        """Returns the position of the most probable class of each row, (N,)."""
        return (self.log_shares - 0.5 * self.squared_distances(z)).argmax(-1)

    @property
    def colouring(self) -> Tensor:
        """(d, d): the inverse of the whitener. Its columns are orthogonal, so a transpose and their lengths suffice."""
        return self.whitener.T / self.whitener.square().sum(0)[:, None]


class Whitened(Energy):
    """E(z) as a function of w = W (z - centre): a walk in w is one in z with steps preconditioned by Sigma.

    Args:
        energy: of z.
        mixture: fitted; it gives W and the centre.
    """

    def __init__(self, energy: Energy, mixture: GaussianMixture) -> None:
        super().__init__()
        self.energy, self.mixture = energy, mixture
        self.colouring = mixture.colouring

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(self.coloured(z))

    def coloured(self, w: Tensor) -> Tensor:
        """Returns the z of each w, (N, d)."""
        return w @ self.colouring + self.mixture.centre

    def whitened(self, z: Tensor) -> Tensor:
        """Returns the w of each z, (N, d)."""
        return (z - self.mixture.centre) @ self.mixture.whitener


class Mahalanobis(Gaussians):
    """E(z) = min_c (z - mu_c)^T Sigma^-1 (z - mu_c). Reference: Lee et al. 2018; on z / ||z||, Sehwag et al. 2021."""

    def forward(self, z: Tensor) -> Tensor:
        return self.squared_distances(z).amin(-1)


# -- neighbours --------------------------------------------------------------------------------------------------------


class Neighbors(Energy):
    """E(z) = the distance from z to its k-th nearest training feature.

    Reference: Sun et al. 2022, arXiv:2204.06507, where it is `Normalized`. The nearest b has the largest
    z . b - ||b||^2 / 2: one matrix product, and a selection that looks only at the best blocks of the bank. The
    distance is then that of z - b itself, which is exact where z is close to b, and has a gradient.

    Args:
        dim: d.
        rows: N, the size of the bank.
        k: which neighbour; at most `rows`.
    """

    bank: Tensor
    offset: Tensor

    def __init__(self, dim: int, rows: int, k: int) -> None:
        super().__init__()
        if not 1 <= k <= rows:
            raise ValueError(f"k must lie in 1..{rows}, the number of training rows; got {k}.")
        self.k = k
        self.register_buffer("bank", torch.empty(rows, dim))
        self.register_buffer("offset", torch.empty(rows))  # -||b||^2 / 2

    def fit(self, train: Features) -> Self:
        self.bank = train.z.to(working_precision(train.z))
        self.offset = -0.5 * torch.linalg.vector_norm(self.bank, dim=1).square()
        return self

    def forward(self, z: Tensor) -> Tensor:
        return torch.linalg.vector_norm(z - self.bank[self.nearest(z)], dim=1)

    @torch.no_grad()
    def nearest(self, z: Tensor, products: int = 2**27) -> Tensor:
        """Returns the row of the bank that is k-th nearest, (N,), with room for about `products` products at a time."""
        parts = z.chunk(max(1, math.ceil(len(z) * len(self.bank) / products)))
        return torch.cat([kth_largest_column(_products(part, self.bank, self.offset), self.k) for part in parts])


def kth_largest(values: Tensor, k: int) -> Tensor:
    """Returns the k-th largest of each row, (N,) from (N, M)."""
    return values.gather(1, kth_largest_column(values, k)[:, None]).squeeze(1)


def kth_largest_column(values: Tensor, k: int, block: int = 64) -> Tensor:
    """Returns where the k-th largest of each row is, (N,) from (N, M).

    A row is cut into blocks; the k largest values lie within the k blocks of largest maximum, so only those are sorted.
    """
    rows, columns = values.shape
    blocks = columns // block
    if blocks <= 2 * k:
        return values.topk(k, dim=1).indices[:, -1]
    body, rest = values[:, : blocks * block].view(rows, blocks, block), values[:, blocks * block :]
    best = body.amax(-1).topk(k, dim=1, sorted=False).indices
    candidates = body[torch.arange(rows, device=best.device)[:, None], best].flatten(1)
    place = torch.cat([candidates, rest], 1).topk(k, dim=1).indices[:, -1:]
    owner = nn.functional.pad(best, (0, 1), value=blocks)  # the rest counts as the last block
    return (owner.gather(1, place // block) * block + place % block).squeeze(1)


# -- logits ------------------------------------------------------------------------------------------------------------


class Logits(Energy):
    """Energies that read the classifier's logits f(z) = W z + b, which `fit` takes from the features' head."""

    weight: Tensor
    bias: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(classes, dim))
        self.register_buffer("bias", torch.zeros(classes))

    def fit(self, train: Features) -> Self:
        head: Head | None = train.head
        if head is None:
            raise ValueError("the features have no head (weight and bias), which logits need.")
        dtype = working_precision(train.z)
        self.weight, self.bias = (value.to(train.z.device, dtype) for value in (head.weight, head.bias))
        return self

    def logits(self, z: Tensor) -> Tensor:
        """Returns (N, C)."""
        return z @ self.weight.T + self.bias


class MaxSoftmax(Logits):
    """E(z) = -max_c softmax(f(z))_c. Reference: Hendrycks and Gimpel 2017, arXiv:1610.02136."""

    def forward(self, z: Tensor) -> Tensor:
        return -self.logits(z).softmax(-1).amax(-1)


class LogSumExp(Logits):
    """E(z) = -T log sum_c exp(f(z)_c / T). Reference: Liu et al. 2020, arXiv:2010.03759."""

    def __init__(self, dim: int, classes: int, temperature: float = 1.0) -> None:
        super().__init__(dim, classes)
        self.temperature = temperature

    def forward(self, z: Tensor) -> Tensor:
        return -self.temperature * (self.logits(z) / self.temperature).logsumexp(-1)


# -- networks ----------------------------------------------------------------------------------------------------------


class Network(Energy):
    """E_theta(z): a multilayer perceptron on standardised features, for what has no formula.

    Args:
        dim: d.
        width, depth: of the hidden layers (SiLU).
        frequencies: random Fourier features put beside the input, cos and sin of B z with B ~ N(0, `bandwidth`^2).
            A plain network cannot see structure much finer than the data's spread; 2D needs them
            (Tancik et al. 2020, arXiv:2006.10739).
        bandwidth: in units of the standardised input.
        plain: as in the paper of HEAT: leaky rectifiers for SiLU, and the input as it comes.
        temperature: what its output is divided by.

    While `in_bfloat16` is set, products are made in it.
    """

    shift: Tensor
    scale: Tensor
    waves: Tensor

    def __init__(
        self, dim: int, width: int = 256, depth: int = 3, frequencies: int = 0, bandwidth: float = 1.0, plain: bool = False,
        temperature: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.bandwidth, self.plain, self.temperature, self.in_bfloat16 = bandwidth, plain, temperature, False
        self.register_buffer("shift", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("waves", torch.zeros(dim, frequencies))
        sizes = [dim + 2 * frequencies, *[width] * depth]
        bend = nn.LeakyReLU(0.2) if plain else nn.SiLU()
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), bend)]
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def fit(self, train: Features) -> Self:
        """Standardises, unless it is plain: sets shift and scale to the features' mean and standard deviation."""
        if self.plain:
            return self
        shift, scale = standards(train.z)
        self.shift, self.scale = shift.to(self.shift.dtype), scale.to(self.scale.dtype)
        return self

    def randomise(self, generator: torch.Generator) -> Self:
        """Returns self with fresh weights, drawn from the generator; the last layer is zero, so E_theta starts at 0."""
        self.waves.normal_(0, self.bandwidth, generator=generator)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        return self

    def forward(self, z: Tensor) -> Tensor:
        x = (z - self.shift) / self.scale
        if self.waves.shape[1]:
            angle = x @ self.waves
            x = torch.cat([x, angle.cos(), angle.sin()], -1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            energy = self.layers(x).squeeze(-1)
        return energy.to(z.dtype) / self.temperature


# -- scoring -----------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def score(energy: Energy, z: Tensor, batch: int = 16384) -> NDArray[np.float64]:
    """Returns the energy of each row as float64 on the CPU, (N,): larger is more out-of-distribution.

    Rows go through in batches, on the device and in the precision of the energy, so z may be larger than the device's
    memory.
    """
    like = next((value for value in energy.state_dict().values() if value.is_floating_point()), z)
    parts = [energy(block.to(like.device, like.dtype)) for block in z.split(batch)]
    return torch.cat(parts).double().cpu().numpy() if parts else np.empty(0)
