"""Background jobs: two run at once, the others wait in line. Nothing here knows Streamlit."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Work = Callable[["Job"], Any]


class Cancelled(Exception):
    """Raised inside a job's work by `report`, once somebody has cancelled the job."""


class Job:
    """Work under way, and what it has said so far. `frames` only grows; read it by index."""

    def __init__(self, key: str, work: Work) -> None:
        self.key = key
        self._work: Work | None = work
        self.state: State = "waiting"
        self.progress = 0.0
        self.frames: list[Any] = []
        self.result: Any = None
        self.error = ""
        self.touched = time.monotonic()
        self._stop = threading.Event()

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def report(self, progress: float, frame: Any = None) -> None:
        """Called by the work: sets the progress (0 to 1) and keeps a frame. Raises Cancelled if that was asked for."""
        if self._stop.is_set():
            raise Cancelled
        self.progress = progress
        if frame is not None:
            self.frames.append(frame)

    def cancel(self) -> None:
        """Asks the work to stop at its next report."""
        self._stop.set()
        if self.state == "waiting":
            self.state = "cancelled"

    def run(self) -> None:
        """Does the work, in the thread that calls, and lets go of it: it may hold much memory."""
        work, self._work = self._work, None
        if work is None or self._stop.is_set():
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
            self.touched = time.monotonic()


class Jobs:
    """Jobs by key. A key says everything that decides the result, so the same request finds the same job.

    Args:
        running: how many work at once.
        kept: how many finished jobs are remembered at most.
        minutes: for how long after they were last looked at.
    """

    def __init__(self, running: int = 2, kept: int = 24, minutes: float = 60) -> None:
        self.kept, self.seconds = kept, 60 * minutes
        self._jobs: dict[str, Job] = {}
        self._line: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        for _ in range(running):
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._line.get().run()

    def submit(self, key: str, work: Work) -> Job:
        """Returns the job of this key: the one there is, unless it failed or was cancelled, or a new one in line."""
        with self._lock:
            job = self.get(key)
            self._forget()
            if job is None or job.state in ("failed", "cancelled"):
                job = self._jobs[key] = Job(key, work)
                self._line.put(job)
            return job

    def get(self, key: str) -> Job | None:
        """Returns the job of this key if it is still remembered; that it was asked for keeps it longer."""
        job = self._jobs.get(key)
        if job is not None:
            job.touched = time.monotonic()
        return job

    def ahead(self, job: Job) -> int:
        """Returns how many jobs wait in line before this one."""
        waiting = [other for other in list(self._jobs.values()) if other.state == "waiting"]
        return waiting.index(job) if job in waiting else 0

    def _forget(self) -> None:
        finished = sorted((job for job in self._jobs.values() if job.over), key=lambda job: job.touched)
        old = [job for job in finished if time.monotonic() - job.touched > self.seconds]
        for job in {*old, *finished[: max(0, len(finished) - self.kept)]}:
            del self._jobs[job.key]
