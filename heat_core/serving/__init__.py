"""A bundle as an HTTP service: decisions about rows and images, its card, Prometheus figures."""

from __future__ import annotations

from .bodies import Limits
from .routes import service

__all__ = ["Limits", "service"]
