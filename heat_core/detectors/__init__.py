"""Detectors: frozen dataclasses of hyperparameters that build an energy and fit it."""
