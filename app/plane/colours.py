"""Pure: the colours of an energy over the plane, the same on every page.

An energy is bright where it is low; a difference of energies is blue below zero, white at it and
orange above. Both are even in the logarithm, so that high walls still differ.
"""

from __future__ import annotations

from app.colour_scale import ColourScale

ENERGY_COLOURS = ("#fde737", "#7ad151", "#22a884", "#2a788e", "#2d2f5e")  # low energy is bright
SIGNED_COLOURS = ("#005a9e", "#5ba8dc", "#f7f7f7", "#f0955a", "#b34700")
ENERGY_REACH = 10.0  # nats above the lowest energy, where heights are drawn as they are
REACH = 50.0  # nats above the lowest energy, or up and down from zero, that colours tell apart
SOFTNESS = 2.0  # nats


def energy_scale(reach: float = REACH) -> ColourScale:
    """Returns the colours of an energy, in nats above its lowest."""
    return ColourScale(ENERGY_COLOURS, 0.0, reach, "nats", SOFTNESS)


def signed_scale(reach: float = REACH) -> ColourScale:
    """Returns the colours of a difference of energies, in nats."""
    return ColourScale(SIGNED_COLOURS, -reach, reach, "nats", SOFTNESS)
