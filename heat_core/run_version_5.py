"""Runs of version 5, in the words of version 6.

In version 5 HEAT had one prior, the MoG.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def upgrade_card(card: Mapping[str, Any]) -> Json:
    """Returns the card of a run of version 5 as one of version 6.

    >>> card = {"version": "5", "detector": {"kind": "HEAT", "temperature": 9.0}}
    >>> upgrade_card(card)["detector"]
    {'kind': 'HEAT', 'temperature': 9.0, 'prior': ['mog']}
    """
    detector = dict(card["detector"])
    if detector["kind"] == "HEAT":
        detector["prior"] = ["mog"]
    return {**card, "version": "6", "detector": detector}
