"""A background job: its work, its frames, and watchers who may pause, step or leave.

No Streamlit here.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from app.slots import FairSlots, Ticket, Visitor

State = Literal["waiting", "running", "paused", "done", "failed", "cancelled"]
Work = Callable[["Job"], Any]  # takes its job, to report to, and returns the job's result
IsConnected = Callable[[str], bool]  # whether the tab of this id is still open

EVERYBODY: Visitor = ("everybody",)
"""The visitor of work that is the same for all, such as scoring a pack that ships."""

ABANDONED_SECONDS = 600.0  # after which a paused job that nobody has touched is cancelled
MAX_REST_FOR_OTHERS_SECONDS = 3.0  # of one rest for the sake of others
LEAST_DONE = 0.02  # of a stage, and
LEAST_SECONDS = 3.0  # of it, after which one can say how long the rest takes
LOOK_SECONDS = 0.01  # between two looks at whether a job that is waited for is over
WAKE_SECONDS = 1.0  # between two looks of a paused job at whether it is abandoned


def always_connected(tab: str) -> bool:
    """Returns that a tab is open, where there are none."""
    return True


class Cancelled(Exception):
    """Raised by `Job.report` inside the work of a job that was cancelled."""


class Job:
    """Work under way, and what it has reported. `frames` only grows; read it by index.

    `doing` says in words what it does at the moment, where that is worth saying.

    Every watcher allows some number of frames: all of them (play), those there are (pause), one
    more (step). The work goes on as far as the watcher who allows most, so nobody's pause stops
    another; a job that is paused gives its slot to the next in line. It is cancelled when its last
    watcher leaves, and a while after all of them have closed their tabs, unless it is everybody's.
    Without watchers it runs to its end. Where others wait who have fewer slots, it lets them work
    in turn: it waits, at a report, until its turn comes again. Beside the work of somebody who has
    less in line it rests two thirds of the time.

    Args:
        key: says everything that decides the result.
        work: called with the job, in a thread of its own.
        slots: where it waits for a slot.
        is_connected: whether a watcher's tab is still open.
        owner: tab whose data the work is on: the work stops when that tab is gone.
        visitor: who asked for it, among whose work it counts.
    """

    def __init__(
        self,
        key: str,
        work: Work,
        slots: FairSlots | None = None,
        is_connected: IsConnected = always_connected,
        owner: str = "",
        visitor: Visitor = (),
    ) -> None:
        self.key = key
        self.owner = owner
        self.has_begun = False
        self.was_refused = False  # by a queue that was full: it has failed, and nobody keeps it
        self.state: State = "waiting"
        self.progress = 0.0
        self.doing = ""
        self.frames: list[Any] = []
        self.result: Any = None
        self.error = ""
        self.last_used = time.monotonic()
        self._work: Work | None = work
        self._slots = FairSlots(1) if slots is None else slots
        self._ticket = self._slots.enqueue(visitor)
        self._is_connected = is_connected
        self._allowed_frames: dict[str, float] = {}  # {watcher: how many}
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._has_slot = False
        self._reported_at = time.monotonic()
        self._unwatched_since = math.inf
        self._stage_begun = (0.0, time.monotonic())  # (progress, when) of what is under way

    @property
    def visitor(self) -> Visitor:
        """Among whose work it counts: who asked for it, or of several who has least."""
        return self._ticket.visitor

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def was_cancelled(self) -> bool:
        """Whether it was cancelled; its work may need a moment to notice."""
        return self._stop.is_set()

    @property
    def stage_seconds(self) -> float:
        """How long it has been at work without a pause, since its progress last began anew."""
        return time.monotonic() - self._stage_begun[1] if self.state == "running" else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long it takes to its end, at the pace so far; None if nothing can tell."""
        progress = self.progress
        done = progress - self._stage_begun[0]
        if done < LEAST_DONE or self.stage_seconds < LEAST_SECONDS:
            return None
        return self.stage_seconds * (1 - progress) / done

    # -- what the work calls

    def report(self, progress: float, frame: Any = None, doing: str = "") -> None:
        """Sets the progress (0 to 1) and what is being done, and keeps a frame.

        It pauses while no watcher allows more frames.

        Where the slot is due to somebody else, it waits for the next one.

        Raises Cancelled if the job was cancelled or its owner is gone.
        """
        if self._stop.is_set() or self._has_lost_owner():
            raise Cancelled
        if progress < self.progress:
            self._stage_begun = (progress, time.monotonic())
        self.progress = progress
        self.doing = doing
        if frame is not None:
            self.frames.append(frame)
            if self._must_pause():
                self._pause()
        if self._has_slot:
            self._give_way()
        self._reported_at = time.monotonic()

    def _give_way(self) -> None:
        """Gives the slot to whom it is due, or else lets those go ahead who have less to do.

        All share one interpreter: for them the work rests twice as long as it has worked.
        """
        if self._slots.must_yield(self._ticket):
            self._release_slot()
            self._wait_for_slot()
        elif self._slots.is_in_the_way(self._ticket):
            worked = time.monotonic() - self._reported_at
            self._stop.wait(min(2 * worked, MAX_REST_FOR_OTHERS_SECONDS))

    def _has_lost_owner(self) -> bool:
        return bool(self.owner) and not self._is_connected(self.owner)

    def _must_pause(self) -> bool:
        """Returns whether there are as many frames as any connected watcher allows.

        Where nobody is connected, those who were go on to count.
        """
        allowed_frames = dict(self._allowed_frames)
        connected = [
            frames for watcher, frames in allowed_frames.items() if self._is_connected(watcher)
        ]
        limits = connected or allowed_frames.values()
        return len(self.frames) >= max(limits, default=math.inf)

    def _pause(self) -> None:
        """Waits for a watcher to allow more; the slot goes to the next in line meanwhile."""
        self.state = "paused"
        self._release_slot()
        with self._changed:
            while self._must_pause() and not self._stop.is_set():
                self._changed.wait(WAKE_SECONDS)
                if time.monotonic() - self.last_used > ABANDONED_SECONDS:
                    self._stop.set()
        if self._stop.is_set():
            raise Cancelled
        self._wait_for_slot()

    def _wait_for_slot(self) -> None:
        """Waits in line for a slot. Raises Cancelled if the job was cancelled first."""
        self.state = "waiting"
        self._has_slot = self._slots.acquire(self._ticket, self._stop.is_set)
        if not self._has_slot:
            raise Cancelled
        self._reported_at = time.monotonic()
        self._stage_begun = (self.progress, time.monotonic())
        self.state = "running"

    def _release_slot(self) -> None:
        if self._has_slot:
            self._has_slot = False
            self._slots.release(self._ticket)

    # -- what a watcher calls

    def wait(self, seconds: float) -> bool:
        """Waits until it is over, for so long at most; returns whether it is."""
        deadline = time.monotonic() + seconds
        while not self.over and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return self.over

    def watch(self, watcher: str) -> None:
        """Adds a watcher, who finds the job as it is, paused or not."""
        self.last_used = time.monotonic()
        limit = len(self.frames) if self.state == "paused" else math.inf
        self._allowed_frames.setdefault(watcher, limit)

    def allowed_frames(self, watcher: str) -> float:
        """Returns how many frames this watcher allows; infinity while it plays."""
        return self._allowed_frames.get(watcher, math.inf)

    def other_watchers(self, watcher: str) -> int:
        """Returns how many others watch whose tabs are open."""
        watchers = list(self._allowed_frames)
        return sum(self._is_connected(other) for other in watchers if other != watcher)

    def play(self, watcher: str) -> None:
        """Lets the work go on."""
        self._allow(watcher, math.inf)

    def pause(self, watcher: str) -> None:
        """Shows this watcher no further frame; the work pauses if no other lets it go on."""
        self._allow(watcher, self._seen_frames(watcher))

    def step(self, watcher: str) -> None:
        """Allows one more frame than this watcher has seen."""
        self._allow(watcher, self._seen_frames(watcher) + 1)

    def leave(self, watcher: str) -> None:
        """Takes a watcher away. The last to leave cancels the job."""
        self._allowed_frames.pop(watcher, None)
        if not self.other_watchers(watcher):
            self.cancel()
        self._notify()

    def cancel(self) -> None:
        """Asks the work to stop at its next report."""
        self._stop.set()
        if self.state in ("waiting", "paused"):
            self.state = "cancelled"
        self._slots.wake()
        self._notify()

    def refuse(self, reason: str) -> None:
        """Fails before it has begun, and lets go of its work."""
        self.was_refused = True
        self._work = None
        self.error = reason
        self.state = "failed"

    def cancel_if_abandoned(self, unwatched_seconds: float) -> None:
        """Cancels the job if its owner is gone, or nobody has watched it for so many seconds.

        One that is everybody's, or that nobody has ever watched, goes on.
        """
        if self.over or self.was_cancelled:
            return
        if self._has_lost_owner():
            self.cancel()
            return
        watchers = list(self._allowed_frames)
        can_be_unwatched = watchers and self.visitor != EVERYBODY
        if not can_be_unwatched or any(self._is_connected(watcher) for watcher in watchers):
            self._unwatched_since = math.inf
            return
        now = time.monotonic()
        self._unwatched_since = min(self._unwatched_since, now)
        if now - self._unwatched_since >= unwatched_seconds:
            self.cancel()

    @property
    def ticket(self) -> Ticket:
        """Where it stands in line."""
        return self._ticket

    def _seen_frames(self, watcher: str) -> float:
        return min(len(self.frames), self.allowed_frames(watcher))

    def _allow(self, watcher: str, frames: float) -> None:
        self._allowed_frames[watcher] = frames
        self.last_used = time.monotonic()
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # -- what its thread calls

    def run(self) -> None:
        """Does the work in the thread that calls, and lets go of it: it may hold much memory."""
        work, self._work = self._work, None
        assert work is not None, "a job runs once"
        try:
            self._wait_for_slot()
            self.has_begun = True
            self.result = work(self)
            self.state = "done"
        except Cancelled:
            self.state = "cancelled"
        except Exception as error:
            self.error = f"{error}" or type(error).__name__
            self.state = "failed"
        finally:
            self._release_slot()
            self.last_used = time.monotonic()
