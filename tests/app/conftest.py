"""What the tests of the app share: a training in the plane, done once."""

from __future__ import annotations

import pytest

from app.jobs import Job
from app.plane.training import train_toy
from tests.app.plane import GRIDS, QUICK


@pytest.fixture(scope="session")
def trained() -> Job:
    """A finished quick training of HEAT on the blobs."""
    job = Job("any", train_toy(QUICK, *GRIDS))
    job.run()
    assert job.state == "done", job.error
    return job
