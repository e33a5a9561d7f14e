"""The version of the project, in this place alone."""

__version__ = "0.1.0"
