"""Replaying a finished training: a slider over its snapshots, played one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.plane.state import reset_training
from app.plane.training import Snapshot, ToyChoice

RESULT = "result"


def is_replaying() -> bool:
    """Returns whether the snapshots are being played."""
    return bool(st.session_state.get("replaying"))


def snapshot_slider(choice: ToyChoice, snapshots: Sequence[Snapshot]) -> Snapshot | None:
    """Returns the selected snapshot, or None for the result.

    While it is playing, every run of the page goes on to the next one.
    """
    steps = [f"step {snapshot.record.step}" for snapshot in snapshots if snapshot.record]
    names = [*steps, RESULT]
    _advance(names)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _buttons(choice, names)
        selected = st.select_slider(
            "Snapshot", names, RESULT, key="snapshot", bind="query-params", width="stretch"
        )
    if selected == RESULT:
        return None
    snapshot = snapshots[names.index(str(selected))]
    distance = snapshot.distance
    st.caption(
        f"The panels show the model at {selected}: KL {distance.kl:.3f} nats, "
        f"{distance.modes_kept} of {distance.modes_total} modes."
    )
    return snapshot


def _advance(names: Sequence[str]) -> None:
    """Goes on to the next snapshot while playing, and stops at the result."""
    state = st.session_state
    if state.get("snapshot", RESULT) not in names:
        state["snapshot"] = RESULT
    position = names.index(state.get("snapshot", RESULT))
    last = len(names) - 1
    is_playing = is_replaying()
    if is_playing and position < last:
        position += 1
        state["snapshot"] = names[position]
    state["replaying"] = is_playing and position < last


def _buttons(choice: ToyChoice, names: Sequence[str]) -> None:
    is_playing = is_replaying()
    position = names.index(st.session_state.get("snapshot", RESULT))
    following = names[(position + 1) % len(names)]
    st.button(
        "Play",
        icon=":material/play_arrow:",
        disabled=is_playing,
        on_click=_play,
        args=(names,),
    )
    st.button(
        "Pause",
        icon=":material/pause:",
        disabled=not is_playing,
        on_click=_show,
        args=(names[position],),
    )
    st.button("Step", icon=":material/skip_next:", on_click=_show, args=(following,))
    st.button("Reset", icon=":material/restart_alt:", on_click=reset_training, args=(choice,))


def _play(names: Sequence[str]) -> None:
    if st.session_state.get("snapshot", RESULT) == RESULT:
        st.session_state["snapshot"] = names[0]
    st.session_state["replaying"] = True


def _show(name: str) -> None:
    st.session_state.update(snapshot=name, replaying=False)
