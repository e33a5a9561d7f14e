"""The queue of background jobs: by key, a few at once, and who may have how many in line.

No Streamlit here.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable

from app.job import EVERYBODY, IsConnected, Job, Work, always_connected
from app.slots import FairSlots, Visitor, groups_of

UNWATCHED_SECONDS = 45.0  # after which a job is cancelled whose watchers have all closed their tabs


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
        is_connected: IsConnected = always_connected,
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
            if job is None or job.was_cancelled or job.state in ("failed", "cancelled"):
                job = self._start(key, work, visitor)
                if not job.was_refused:
                    self._jobs[key] = job
            elif not job.over:
                self.slots.hand_over(job.ticket, visitor)
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
            return (
                f"The line is full: {self.slots.waiting_count} wait already. Try again in a minute."
            )
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
        return self.slots.ahead_of(job.ticket)

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
