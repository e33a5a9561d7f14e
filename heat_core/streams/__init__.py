"""Rows to score from files of any size, and tables of what was said of them, part by part."""

from __future__ import annotations

from .sinks import FORMATS, format_of, write_tables
from .sources import RowBatch, TablePart, parts_of

__all__ = ["FORMATS", "TablePart", "RowBatch", "format_of", "parts_of", "write_tables"]
