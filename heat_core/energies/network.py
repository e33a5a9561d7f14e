"""A multilayer perceptron as an energy."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from heat_core.features import Features

from .energy import Energy
from .views import mean_and_std


class Network(Energy):
    """E_theta(z): a multilayer perceptron on standardised features, for what has no formula.

    While the attribute `in_bfloat16` is set, products are made in bfloat16.

    Args:
        dim: d.
        width, depth: of the hidden layers (SiLU).
        frequencies: random Fourier features put beside the input, cos and sin of B z with
            B ~ N(0, `bandwidth`^2). Without them a network cannot see structure much finer than
            the data's standard deviation; 2D needs them (Tancik et al. 2020, arXiv:2006.10739).
        bandwidth: in units of the standardised input.
        plain: as in the paper of HEAT: leaky rectifiers for SiLU, and the input as it comes.
        temperature: what its output is divided by.

    >>> network = Network(dim=2, width=8, depth=1).randomise(torch.Generator().manual_seed(0))
    >>> network(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))  # it starts at 0 everywhere
    tensor([0., 0.], grad_fn=<DivBackward0>)
    """

    shift: Tensor
    scale: Tensor
    waves: Tensor

    def __init__(
        self,
        dim: int,
        width: int = 256,
        depth: int = 3,
        frequencies: int = 0,
        bandwidth: float = 1.0,
        plain: bool = False,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.bandwidth = bandwidth
        self.plain = plain
        self.temperature = temperature
        self.in_bfloat16 = False
        self.register_buffer("shift", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("waves", torch.zeros(dim, frequencies))
        activation = nn.LeakyReLU(0.2) if plain else nn.SiLU()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([dim + 2 * frequencies, *[width] * depth]):
            layers += [nn.Linear(inputs, outputs), activation]
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def fit(self, train: Features) -> Self:
        """Returns self, standardising by the features' mean and standard deviation unless plain."""
        if not self.plain:
            mean, std = mean_and_std(train.z)
            self.store(shift=mean, scale=std)
        return self

    def randomise(self, generator: torch.Generator) -> Self:
        """Returns self with fresh weights from the generator.

        The last layer is zero, so that E_theta starts at 0.
        """
        self.waves.normal_(0, self.bandwidth, generator=generator)
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        for layer in linear:
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(linear[-1].weight)
        return self

    def forward(self, z: Tensor) -> Tensor:
        x = (z - self.shift) / self.scale
        if self.waves.shape[1]:
            angle = x @ self.waves
            x = torch.cat([x, angle.cos(), angle.sin()], -1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            energy = self.layers(x).squeeze(-1)
        return energy.to(z.dtype) / self.temperature
