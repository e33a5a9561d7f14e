"""Energies in the feature space of a classifier: train them, take them apart, score with them.

Importing this package is cheap; torch is imported by the first module that needs it.
"""

__version__ = "0.1.0"
