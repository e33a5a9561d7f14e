"""A small training in the plane that several test files share."""

from __future__ import annotations

from app.plane.training import COARSE_SIDE, FINE_SIDE, ToyChoice
from heat_core.plane.grid import Grid
from heat_core.plane.toys import toy

QUICK = ToyChoice("blobs", "HEAT", "quick", 0)
GRIDS = Grid(toy("blobs"), COARSE_SIDE), Grid(toy("blobs"), FINE_SIDE)
