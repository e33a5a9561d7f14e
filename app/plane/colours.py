"""Pure: the colours of an energy over the plane, and how many nats they tell apart.

Colours stand evenly from the lowest height to the highest.
"""

from __future__ import annotations

ENERGY_COLOURS = ("#fde737", "#7ad151", "#22a884", "#2a788e", "#2d2f5e")  # low energy is bright
SIGNED_COLOURS = ("#0072B2", "#f7f7f7", "#D55E00")  # blue below zero, white at it, orange above
ENERGY_REACH = 10.0  # nats above the lowest energy
CORRECTION_REACH = 6.0  # nats of a correction, up or down from zero
