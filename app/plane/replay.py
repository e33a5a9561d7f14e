"""Replaying a finished training: a slider over its snapshots, played one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from app.plane.state import AnySnapshot, Trainable, is_gone, reset_training

RESULT = "result"


def show_replayed(choice: Trainable, show: Callable[[], None], key: str = "snapshot") -> None:
    """Shows a finished training in a fragment, which runs by itself while its snapshots are played.

    Args:
        choice: what was trained; once it is gone, the page runs anew.
        show: what the fragment shows, a `snapshot_slider` of the same key in it.
        key: of the slider.
    """
    plays = is_replaying(key)  # settled before the callbacks of the buttons have their say

    def show_or_run_page() -> None:
        if is_gone(choice) or is_replaying(key) != plays:
            st.rerun()
        show()

    st.fragment(show_or_run_page, run_every=0.5 if plays else None)()


def snapshot_slider(
    choice: Trainable,
    snapshots: Sequence[AnySnapshot],
    note: Callable[[AnySnapshot], str],
    key: str = "snapshot",
) -> AnySnapshot | None:
    """Returns the selected snapshot, or None for the result.

    While it is playing, every run goes on to the next one; at the last the page runs anew.

    Args:
        note: what is said of a snapshot, such as `KL 0.1 nats`.
        key: of the slider, and in the link; `show_replayed` takes it.
    """
    steps = [f"step {snapshot.record.step}" for snapshot in snapshots if snapshot.record]
    names = [*steps, RESULT]
    was_playing = is_replaying(key)
    _advance(names, key)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _buttons(choice, names, key)
        selected = st.select_slider(
            "Snapshot", names, RESULT, key=key, bind="query-params", width="stretch"
        )
    if is_replaying(key) != was_playing:
        st.rerun()
    if selected == RESULT:
        return None
    snapshot = snapshots[names.index(str(selected))]
    st.caption(f"The panels show the model at {selected}: {note(snapshot)}.")
    return snapshot


def is_replaying(key: str = "snapshot") -> bool:
    """Returns whether the snapshots of a slider are being played."""
    return bool(st.session_state.get(_playing_key(key)))


def _playing_key(key: str) -> str:
    return "replaying" if key == "snapshot" else f"replaying-{key}"


def _advance(names: Sequence[str], key: str) -> None:
    """Goes on to the next snapshot while playing, and stops at the result."""
    state = st.session_state
    if state.get(key, RESULT) not in names:
        state[key] = RESULT
    position = names.index(state.get(key, RESULT))
    last = len(names) - 1
    is_playing = is_replaying(key)
    if is_playing and position < last:
        position += 1
        state[key] = names[position]
    state[_playing_key(key)] = is_playing and position < last


def _buttons(choice: Trainable, names: Sequence[str], key: str) -> None:
    is_playing = is_replaying(key)
    position = names.index(st.session_state.get(key, RESULT))
    following = names[(position + 1) % len(names)]
    st.button(
        "Play",
        key=f"play-{key}",
        icon=":material/play_arrow:",
        disabled=is_playing,
        on_click=_play,
        args=(names, key),
    )
    st.button(
        "Pause",
        key=f"pause-{key}",
        icon=":material/pause:",
        disabled=not is_playing,
        on_click=_show,
        args=(names[position], key),
    )
    st.button(
        "Step",
        key=f"step-{key}",
        icon=":material/skip_next:",
        on_click=_show,
        args=(following, key),
    )
    st.button(
        "Reset",
        key=f"reset-{key}",
        icon=":material/restart_alt:",
        on_click=reset_training,
        args=(choice,),
    )


def _play(names: Sequence[str], key: str) -> None:
    if st.session_state.get(key, RESULT) == RESULT:
        st.session_state[key] = names[0]
    st.session_state[_playing_key(key)] = True


def _show(name: str, key: str) -> None:
    st.session_state[key] = name
    st.session_state[_playing_key(key)] = False
