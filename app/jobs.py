"""Background jobs: a queue, a few that run at once, and watchers who may pause, step or leave.

No Streamlit here.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Literal

State = Literal["waiting", "running", "paused", "done", "failed", "cancelled"]
Work = Callable[["Job"], Any]  # takes its job, to report to, and returns the job's result
IsConnected = Callable[[str], bool]  # whether the tab of this id is still open

ABANDONED_SECONDS = 600.0  # after which a paused job that nobody has touched is cancelled
WAKE_SECONDS = 1.0  # between two looks of a paused job at whether it is abandoned


def _always_connected(tab: str) -> bool:
    return True


class Cancelled(Exception):
    """Raised by `Job.report` inside the work of a job that was cancelled."""


class WorkerSlots:
    """Lets `count` waiters in at a time, in the order in which they came.

    >>> slots = WorkerSlots(1)
    >>> slots.acquire("a", is_cancelled=lambda: False)
    True
    >>> slots.enqueue("b")
    >>> slots.enqueue("c")
    >>> slots.ahead_of("c"), len(slots)
    (1, 2)
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiters: list[object] = []
        self._changed = threading.Condition()

    def enqueue(self, waiter: object) -> None:
        """Puts a waiter at the end of the line."""
        with self._changed:
            self._waiters.append(waiter)

    def acquire(self, waiter: object, is_cancelled: Callable[[], bool]) -> bool:
        """Waits for a slot, from where the waiter stands in line or else from the end.

        Returns False if `is_cancelled()` comes first; then no slot is taken.
        """

        def may_go() -> bool:
            return is_cancelled() or (self._free > 0 and self._waiters[0] is waiter)

        with self._changed:
            if waiter not in self._waiters:
                self._waiters.append(waiter)
            self._changed.wait_for(may_go)
            self._waiters.remove(waiter)
            acquired = not is_cancelled()
            self._free -= acquired
            self._changed.notify_all()
            return acquired

    def release(self) -> None:
        """Gives a slot back."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def wake(self) -> None:
        """Lets every waiter see whether it is cancelled."""
        with self._changed:
            self._changed.notify_all()

    def ahead_of(self, waiter: object) -> int:
        """Returns how many wait before this one."""
        with self._changed:
            return self._waiters.index(waiter) if waiter in self._waiters else 0

    def __len__(self) -> int:
        return len(self._waiters)


class Job:
    """Work under way, and what it has reported. `frames` only grows; read it by index.

    Every watcher allows some number of frames: all of them (play), those there are (pause), one
    more (step). The work goes on as far as the watcher who allows most, so nobody's pause stops
    another; a job that is paused gives its slot to the next in line. It is cancelled when its last
    watcher leaves. Without watchers it runs to its end.

    Args:
        key: says everything that decides the result.
        work: called with the job, in a thread of its own.
        slots: where it waits for a slot.
        is_connected: whether a watcher's tab is still open.
        owner: tab whose data the work is on: the work stops when that tab is gone.
    """

    def __init__(
        self,
        key: str,
        work: Work,
        slots: WorkerSlots | None = None,
        is_connected: IsConnected = _always_connected,
        owner: str = "",
    ) -> None:
        self.key = key
        self.owner = owner
        self.state: State = "waiting"
        self.progress = 0.0
        self.frames: list[Any] = []
        self.result: Any = None
        self.error = ""
        self.last_used = time.monotonic()
        self._work: Work | None = work
        self._slots = WorkerSlots(1) if slots is None else slots
        self._is_connected = is_connected
        self._allowed_frames: dict[str, float] = {}  # {watcher: how many}
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._has_slot = False

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def stopping(self) -> bool:
        """Whether it was cancelled; its work may need a moment to notice."""
        return self._stop.is_set()

    # -- what the work calls

    def report(self, progress: float, frame: Any = None) -> None:
        """Sets the progress (0 to 1) and keeps a frame; pauses while no watcher allows more.

        Raises Cancelled if the job was cancelled or its owner is gone.
        """
        if self._stop.is_set() or (self.owner and not self._is_connected(self.owner)):
            raise Cancelled
        self.progress = progress
        if frame is not None:
            self.frames.append(frame)
            if self._must_pause():
                self._pause()

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
        self.state = "waiting"
        if not self._acquire_slot():
            raise Cancelled
        self.state = "running"

    def _acquire_slot(self) -> bool:
        self._has_slot = self._slots.acquire(self, self._stop.is_set)
        return self._has_slot

    def _release_slot(self) -> None:
        if self._has_slot:
            self._has_slot = False
            self._slots.release()

    # -- what a watcher calls

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
        if work is None or not self._acquire_slot():
            self.state = "cancelled"
            return
        self.state = "running"
        try:
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


class JobQueue:
    """Jobs by key. A key says everything that decides the result, so equal requests share a job.

    Args:
        workers: how many jobs run at once.
        max_finished: how many finished jobs are remembered at most.
        keep_minutes: for how long after they were last used.
        max_unfinished: how many wait, run or are paused at most.
        is_connected: whether the tab of a watcher is still open.
    """

    def __init__(
        self,
        workers: int = 2,
        max_finished: int = 24,
        keep_minutes: float = 60,
        max_unfinished: int = 24,
        is_connected: IsConnected = _always_connected,
    ) -> None:
        self.max_finished = max_finished
        self.keep_seconds = 60 * keep_minutes
        self.max_unfinished = max_unfinished
        self.is_connected = is_connected
        self.slots = WorkerSlots(workers)
        self._jobs: dict[str, Job] = {}
        self._started: weakref.WeakSet[Job] = weakref.WeakSet()
        self._lock = threading.Lock()

    def submit(self, key: str, work: Work) -> Job:
        """Returns the job of this key, or a new one in line if there is none or it came to nothing.

        Where too many are unfinished, the new one has failed and says so.
        """
        with self._lock:
            job = self.get(key)
            self._forget_old_jobs()
            if job is None or job.stopping or job.state in ("failed", "cancelled"):
                job = self._start(Job(key, work, self.slots, self.is_connected))
                self._jobs[key] = job
            return job

    def submit_owned(self, key: str, work: Work, owner: str) -> Job:
        """Returns a new job in line that belongs to one tab.

        The queue does not keep it, and it stops when its owner is gone.
        """
        with self._lock:
            return self._start(Job(key, work, self.slots, self.is_connected, owner))

    def _start(self, job: Job) -> Job:
        """Puts a job in line and starts its thread; where the line is full, the job has failed."""
        unfinished = sum(not other.over for other in self._started)
        if unfinished >= self.max_unfinished:
            job.error = f"The line is full: {len(self.slots)} wait already. Try again in a minute."
            job.state = "failed"
            return job
        self._started.add(job)
        self.slots.enqueue(job)
        threading.Thread(target=job.run, daemon=True).start()
        return job

    def get(self, key: str) -> Job | None:
        """Returns the job of this key if it is still remembered, which keeps it for longer."""
        job = self._jobs.get(key)
        if job is not None:
            job.last_used = time.monotonic()
        return job

    def drop(self, job: Job) -> None:
        """Forgets a job, unless another has taken its key."""
        with self._lock:
            if self._jobs.get(job.key) is job:
                del self._jobs[job.key]

    def ahead_of(self, job: Job) -> int:
        """Returns how many jobs wait in line before this one."""
        return self.slots.ahead_of(job)

    def _forget_old_jobs(self) -> None:
        """Forgets finished jobs: those not used for long, and the oldest if there are too many."""
        finished = [job for job in self._jobs.values() if job.over]
        finished.sort(key=lambda job: job.last_used)
        now = time.monotonic()
        expired = {job for job in finished if now - job.last_used > self.keep_seconds}
        too_many = max(0, len(finished) - self.max_finished)
        for job in expired.union(finished[:too_many]):
            del self._jobs[job.key]
