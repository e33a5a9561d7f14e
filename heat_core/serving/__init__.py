"""A bundle as an HTTP service: decisions about rows and images, its card, Prometheus figures."""

from __future__ import annotations

from .bodies import RequestLimits
from .routes import service

__all__ = ["RequestLimits", "service"]
