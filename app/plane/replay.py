"""Replaying finished trainings: a slider over snapshots, played one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from app.plane.state import AnySnapshot, Trainable, is_gone, reset_training

RESULT = "result"


def show_replayed(
    choices: Sequence[Trainable], show: Callable[[], None], key: str = "snapshot"
) -> None:
    """Shows finished trainings in a fragment, which runs by itself while snapshots are played.

    Args:
        choices: what was trained; once one is gone, the page runs anew.
        show: what the fragment shows, a slider of the same key in it.
        key: of the slider.
    """
    plays = is_replaying(key)  # settled before the callbacks of the buttons have their say

    def show_or_run_page() -> None:
        if any(map(is_gone, choices)) or is_replaying(key) != plays:
            st.rerun()
        show()

    st.fragment(show_or_run_page, run_every=0.5 if plays else None)()


def snapshot_slider(
    choice: Trainable,
    snapshots: Sequence[AnySnapshot],
    note: Callable[[AnySnapshot], str],
    key: str = "snapshot",
) -> AnySnapshot | None:
    """Returns the selected snapshot of a training, or None for the result, as `step_slider` does.

    Args:
        note: what is said of a snapshot, such as `KL 0.1 nats`.
        key: of the slider, and in the link; `show_replayed` takes it.
    """
    by_step = {snapshot.record.step: snapshot for snapshot in snapshots if snapshot.record}
    step = step_slider([choice], list(by_step), key)
    if step is None:
        return None
    snapshot = by_step[step]
    st.caption(f"The panels show the model at step {step}: {note(snapshot)}.")
    return snapshot


def step_slider(choices: Sequence[Trainable], steps: Sequence[int], key: str) -> int | None:
    """Returns the selected step of the optimiser, or None for the result.

    While it is playing, every run goes on to the next one; at the last the page runs anew.

    Args:
        choices: what was trained, for Reset.
        steps: that there are snapshots of.
        key: of the slider, and in the link; `show_replayed` takes it.
    """
    names = [*(f"step {step}" for step in steps), RESULT]
    was_playing = is_replaying(key)
    _advance(names, key)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _buttons(choices, names, key)
        selected = st.select_slider(
            "Snapshot", names, RESULT, key=key, bind="query-params", width="stretch"
        )
    if is_replaying(key) != was_playing:
        st.rerun()
    return None if selected == RESULT else steps[names.index(str(selected))]


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


def _buttons(choices: Sequence[Trainable], names: Sequence[str], key: str) -> None:
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
        on_click=_reset,
        args=(choices,),
    )


def _reset(choices: Sequence[Trainable]) -> None:
    for choice in choices:
        reset_training(choice)


def _play(names: Sequence[str], key: str) -> None:
    if st.session_state.get(key, RESULT) == RESULT:
        st.session_state[key] = names[0]
    st.session_state[_playing_key(key)] = True


def _show(name: str, key: str) -> None:
    st.session_state[key] = name
    st.session_state[_playing_key(key)] = False
