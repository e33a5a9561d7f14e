"""Background jobs: a queue, a few that run at once, and watchers who may pause, step or leave.

No Streamlit here.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from app.slots import FairSlots, Place, Visitor, groups_of

State = Literal["waiting", "running", "paused", "done", "failed", "cancelled"]
Work = Callable[["Job"], Any]  # takes its job, to report to, and returns the job's result
IsConnected = Callable[[str], bool]  # whether the tab of this id is still open

EVERYBODY: Visitor = ("everybody",)
"""The visitor of work that is the same for all, such as scoring a pack that ships."""

ABANDONED_SECONDS = 600.0  # after which a paused job that nobody has touched is cancelled
UNWATCHED_SECONDS = 45.0  # after which a job is cancelled whose watchers have all closed their tabs
MAX_REST_FOR_OTHERS_SECONDS = 3.0  # of one rest for the sake of others
WAKE_SECONDS = 1.0  # between two looks of a paused job at whether it is abandoned


def _always_connected(tab: str) -> bool:
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
        is_connected: IsConnected = _always_connected,
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
        self._place = self._slots.enqueue(visitor)
        self._is_connected = is_connected
        self._allowed_frames: dict[str, float] = {}  # {watcher: how many}
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._has_slot = False
        self._reported_at = time.monotonic()
        self._unwatched_since = math.inf

    @property
    def visitor(self) -> Visitor:
        """Among whose work it counts: who asked for it, or of several who has least."""
        return self._place.visitor

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def stopping(self) -> bool:
        """Whether it was cancelled; its work may need a moment to notice."""
        return self._stop.is_set()

    # -- what the work calls

    def report(self, progress: float, frame: Any = None, doing: str = "") -> None:
        """Sets the progress (0 to 1) and what is being done, and keeps a frame.

        It pauses while no watcher allows more frames.

        Where the slot is due to somebody else, it waits for the next one.

        Raises Cancelled if the job was cancelled or its owner is gone.
        """
        if self._stop.is_set() or self._has_lost_owner():
            raise Cancelled
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
        if self._slots.must_yield(self._place):
            self._release_slot()
            self._wait_for_slot()
        elif self._slots.is_in_the_way(self._place):
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
        self._has_slot = self._slots.acquire(self._place, self._stop.is_set)
        if not self._has_slot:
            raise Cancelled
        self._reported_at = time.monotonic()
        self.state = "running"

    def _release_slot(self) -> None:
        if self._has_slot:
            self._has_slot = False
            self._slots.release(self._place)

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
        if self.over or self.stopping:
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
    def place(self) -> Place:
        """Where it stands in line."""
        return self._place

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


class JobQueue:
    """Jobs by key. A key says everything that decides the result, so equal requests share a job.

    Every visitor has a quota of the line, and slots go round among the visitors. What is
    everybody's is never refused: there is little of it. Paused jobs are no part of the line.

    Args:
        workers: how many jobs run at once.
        max_finished: how many finished jobs are remembered at most; of those that are everybody's,
            as many again.
        keep_minutes: for how long after they were last used.
        max_unfinished: how many wait or run at most.
        quotas: how many of these may be one visitor's, for each group that a visitor belongs to,
            the widest first.
        max_paused: how many paused jobs each visitor may have.
        unwatched_seconds: after which a job is cancelled whose watchers' tabs are all closed.
        is_connected: whether the tab of a watcher is still open.
    """

    def __init__(
        self,
        workers: int = 2,
        max_finished: int = 24,
        keep_minutes: float = 60,
        max_unfinished: int = 64,
        quotas: tuple[int, ...] = (32, 8),
        max_paused: int = 8,
        unwatched_seconds: float = UNWATCHED_SECONDS,
        is_connected: IsConnected = _always_connected,
    ) -> None:
        self.max_finished = max_finished
        self.keep_seconds = 60 * keep_minutes
        self.max_unfinished = max_unfinished
        self.quotas = quotas
        self.max_paused = max_paused
        self.unwatched_seconds = unwatched_seconds
        self.is_connected = is_connected
        self.slots = FairSlots(workers)
        self._jobs: dict[str, Job] = {}
        self._started: weakref.WeakSet[Job] = weakref.WeakSet()
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._is_stopped = False
        self._lock = threading.RLock()

    def submit(self, key: str, work: Work, visitor: Visitor = EVERYBODY) -> Job:
        """Returns the job of this key, or a new one in line if there is none or it came to nothing.

        Where the line is full, or the visitor's quota of it, the new one has failed and says so;
        the queue does not keep it, so whoever asks next gets another. A job that there is counts as
        work of whoever of those who asked has least.
        """
        with self._lock:
            job = self.get(key)
            self._forget_old_jobs()
            if job is None or job.stopping or job.state in ("failed", "cancelled"):
                job = self._start(key, work, visitor)
                if not job.was_refused:
                    self._jobs[key] = job
            elif not job.over:
                self.slots.hand_over(job.place, visitor)
            return job

    def submit_owned(self, key: str, work: Work, owner: str, visitor: Visitor) -> Job:
        """Returns a new job in line that belongs to one tab, or one that was refused.

        The queue does not keep it, and it stops when its owner is gone.
        """
        with self._lock:
            return self._start(key, work, visitor, owner)

    def _start(self, key: str, work: Work, visitor: Visitor, owner: str = "") -> Job:
        """Returns a new job whose thread runs; where that is refused, the job has failed."""
        refusal = self._refusal(visitor)
        if refusal:
            job = Job(key, work, None, self.is_connected, owner, visitor)
            job.refuse(refusal)
            return job
        job = Job(key, work, self.slots, self.is_connected, owner, visitor)
        self._started.add(job)
        self.start_thread(job.run)
        return job

    def _refusal(self, visitor: Visitor) -> str:
        """Returns why a visitor may not have another job in line; nothing where they may."""
        if self._is_stopped:
            return "The server is about to stop. Try again when it is back."
        if visitor == EVERYBODY:
            return ""
        unfinished = self._unfinished()
        if len(unfinished) >= self.max_unfinished:
            return f"The line is full: {len(self.slots)} wait already. Try again in a minute."
        counts = Counter(group for job in unfinished for group in groups_of(job.visitor))
        for group, quota in zip(groups_of(visitor), self.quotas, strict=False):
            if counts[group] >= quota:
                return (
                    f"Your part of the line is full: {counts[group]} jobs are in it already. "
                    "Cancel one, or try again in a minute."
                )
        return ""

    def _unfinished(self) -> list[Job]:
        """Returns the jobs that wait or run, but for those that are everybody's."""
        return [
            job
            for job in self._all_jobs()
            if job.state in ("waiting", "running") and job.visitor != EVERYBODY
        ]

    def _all_jobs(self) -> list[Job]:
        """Returns the jobs that were started and that somebody still holds."""
        with self._lock:
            return list(self._started)

    def start_thread(self, target: Callable[[], None]) -> None:
        """Starts a thread that `stop` waits for."""
        thread = threading.Thread(target=target, daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def is_at_work_here(self) -> bool:
        """Returns whether the thread that asks is one of the queue's."""
        return threading.current_thread() in self._threads

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
        """Returns how many jobs have their turn before this one."""
        return self.slots.ahead_of(job.place)

    def tend(self) -> None:
        """Cancels what nobody waits for any more: call it every few seconds.

        These are jobs whose tabs are closed, and of the paused ones of a visitor who has too many
        those that were not touched for longest.
        """
        for job in self._all_jobs():
            job.cancel_if_abandoned(self.unwatched_seconds)
        paused_by_visitor: dict[Visitor, list[Job]] = {}
        for job in self._all_jobs():
            if job.state == "paused":
                paused_by_visitor.setdefault(job.visitor, []).append(job)
        for paused in paused_by_visitor.values():
            paused.sort(key=lambda job: job.last_used)
            for job in paused[: max(0, len(paused) - self.max_paused)]:
                job.cancel()

    def stop(self, seconds: float) -> bool:
        """Starts nothing more, cancels every job, and waits for its threads, for so long at most.

        Returns whether all of them have ended. One that is still in compiled code when the
        interpreter goes would abort it.
        """
        deadline = time.monotonic() + seconds
        with self._lock:
            self._is_stopped = True
            threads = list(self._threads)
        for job in self._all_jobs():
            job.cancel()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _forget_old_jobs(self) -> None:
        """Forgets finished jobs: those not used for long, and the oldest if there are too many.

        Of too many, the visitor's go first who has most. What is everybody's is counted apart, so
        that no visitor's jobs make it be forgotten.
        """
        now = time.monotonic()
        finished = [job for job in self._jobs.values() if job.over]
        for job in finished:
            if now - job.last_used > self.keep_seconds:
                del self._jobs[job.key]
        by_visitor: dict[Visitor, list[Job]] = {}
        for job in sorted(self._jobs.values(), key=lambda job: job.last_used, reverse=True):
            if job.over:
                by_visitor.setdefault(job.visitor, []).append(job)
        everybodys = by_visitor.pop(EVERYBODY, [])
        for job in everybodys[self.max_finished :]:
            del self._jobs[job.key]
        for _ in range(sum(map(len, by_visitor.values())) - self.max_finished):
            oldest = max(by_visitor.values(), key=len).pop()
            del self._jobs[oldest.key]
