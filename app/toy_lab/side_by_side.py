"""Settings that stand side by side: which they are, and what differs among them, in words.

No Streamlit here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from app.incoming import number_within
from app.plane.knobs import Knobs, changed_knobs, knob_values, value_text
from app.plane.training import Snapshot, ToyChoice
from app.text import number_text

if TYPE_CHECKING:
    from heat_core.plane.grid import Distance

COMPARED_DETECTORS = ("MoG", "EBM", "HEAT")  # in the paper's second figure
COMPARED_PRESETS = ("quick", "modern", "paper")
MAX_COMPARED = 3
MAX_SEED = 9999
MUCH_FURTHER = 2.0  # times as far from the truth: a difference that the headline names


# -- which -----------------------------------------------------------------------------------------


def compared_choices(
    side: str, choice: ToyChoice, kept: Sequence[ToyChoice]
) -> dict[str, ToyChoice]:
    """Returns {what it differs by: choice} of what stands side by side.

    Args:
        side: `detectors`, `seeds`, `presets`, or `kept`.
        choice: what is set now.
        kept: the last of them stand beside it.
    """
    if side == "detectors":
        choices = [_of_detector(choice, name) for name in COMPARED_DETECTORS]
    elif side == "seeds":
        first = min(choice.seed, MAX_SEED + 1 - MAX_COMPARED)
        choices = [replace(choice, seed=first + i) for i in range(MAX_COMPARED)]
    elif side == "presets":
        choices = [replace(choice, preset=name, knobs=Knobs()) for name in COMPARED_PRESETS]
    else:
        others = [other for other in kept if other != choice]
        choices = [*others[1 - MAX_COMPARED :], choice]
    return dict(zip(difference_names(choices), choices, strict=True))


def _of_detector(choice: ToyChoice, detector: str) -> ToyChoice:
    """Returns a choice of another detector, with the knobs that apply to it."""
    blank = replace(choice, detector=detector, knobs=Knobs())
    return replace(blank, knobs=changed_knobs(blank.build_detector(), choice.knobs.values))


def kept_text(kept: Sequence[ToyChoice]) -> str:
    """Returns the settings that are kept, as a link has them.

    >>> kept_text([ToyChoice("cross", "HEAT", "modern", 0, knobs=Knobs("lr0.01"))])
    'HEAT.modern.0.lr0.01'
    """
    parts = [(one.detector, one.preset, str(one.seed), one.knobs.text) for one in kept]
    return "~".join(".".join(part).rstrip(".") for part in parts)


def parse_kept(text: str, toy: str) -> tuple[ToyChoice, ...]:
    """Returns the settings of a link's text, on a toy.

    Raises ValueError, in one line, on one that is of another form.

    >>> [choice.key for choice in parse_kept("HEAT.modern.0.lr0.01~MoG.quick.3", "cross")]
    ['toy.cross.HEAT.modern.0.lr0.01', 'toy.cross.MoG.quick.3']
    """
    kept = []
    for part in text.split("~")[: MAX_COMPARED - 1] if text else ():
        detector, preset, seed, *knobs = [*part.split(".", 3), "", ""][:4]
        number = number_within(int(seed), 0, MAX_SEED) if seed.isdecimal() else None
        if number is None:
            raise ValueError(f"wanted detector.preset.seed, got {part}")
        choice = ToyChoice(toy, detector, preset, int(number), knobs=Knobs("".join(knobs)))
        choice.build_detector()
        kept.append(choice)
    return tuple(kept)


def difference_names(choices: Sequence[ToyChoice]) -> list[str]:
    """Returns a short name of each choice: what is not the same in all of them.

    >>> slow = ToyChoice("cross", "HEAT", "modern", 0)
    >>> difference_names([slow, replace(slow, knobs=Knobs("lr0.05"))])
    ['lr 0.007', 'lr 0.05']
    >>> difference_names([slow, replace(slow, detector="EBM", preset="quick")])
    ['HEAT, modern', 'EBM, quick']
    >>> difference_names([slow])
    ['HEAT']
    """
    columns = [
        [choice.detector for choice in choices],
        [choice.preset for choice in choices],
        *_knob_columns(choices),
        [f"seed {choice.seed}" for choice in choices],
    ]
    differing = [column for column in columns if len(set(column)) > 1] or columns[:1]
    return [", ".join(filter(None, row)) for row in zip(*differing, strict=True)]


def _knob_columns(choices: Sequence[ToyChoice]) -> list[list[str]]:
    """Returns what is changed in some of the choices and not alike in all, in words.

    Where one knob differs of one detector's preset, it is its value in each; else a choice without
    a change has the preset's name.
    """
    changed = [choice.knobs.values for choice in choices]
    names = [
        name
        for name in dict.fromkeys(name for values in changed for name in values)
        if len({values.get(name) for values in changed}) > 1
    ]
    same_preset = len({(choice.detector, choice.preset) for choice in choices}) == 1
    if names and same_preset and len(names) == 1:
        changed = [knob_values(choice.build_detector()) for choice in choices]
    column = [
        ", ".join(value_text(name, values[name]) for name in names if name in values)
        for values in changed
    ]
    if same_preset:
        column = [text or choice.preset for text, choice in zip(column, choices, strict=True)]
    return [column]


# -- what they came to -----------------------------------------------------------------------------


def recorded_steps(histories: Sequence[Sequence[Snapshot]]) -> list[int]:
    """Returns the optimiser steps at which any of some trainings has a snapshot, in order."""
    steps = {
        snapshot.record.step for history in histories for snapshot in history if snapshot.record
    }
    return sorted(steps)


def snapshot_at(history: Sequence[Snapshot], step: int) -> Snapshot | None:
    """Returns the last snapshot at or before a step; None if there is none."""
    past = [one for one in history if one.record and one.record.step <= step]
    return past[-1] if past else None


def comparison_finding(distances: Mapping[str, Distance]) -> str:
    """Returns which models keep the modes, and how far they are from the truth, by the figures."""
    total = max(distance.modes_total for distance in distances.values())
    losers = [name for name, distance in distances.items() if distance.modes_kept < total]
    if losers:
        verb = "loses" if len(losers) == 1 else "lose"
        counts = ", ".join(
            f"{name} keeps {distance.modes_kept} of {total}" for name, distance in distances.items()
        )
        return f"{' and '.join(losers)} {verb} modes: {counts}."
    everyone = {1: "It keeps", 2: "Both keep"}.get(len(distances), "All three keep")
    kl = ", ".join(
        f"{number_text(distance.kl, 3)} ({name})" for name, distance in distances.items()
    )
    return f"{everyone} every mode{furthest_text(distances)}: KL in nats {kl}."


def furthest_text(distances: Mapping[str, Distance]) -> str:
    """Returns how much further from the truth the worst model is, where that is much."""
    closest = min(distances, key=lambda name: distances[name].kl)
    furthest = max(distances, key=lambda name: distances[name].kl)
    ratio = distances[furthest].kl / max(distances[closest].kl, 1e-9)
    if ratio < MUCH_FURTHER:
        return ""
    return f", but {furthest} is {ratio:.0f} times further from the truth than {closest}"
