"""Background jobs: two run at once, the others wait in line; whoever watches may pause, step or leave. No Streamlit here."""

from __future__ import annotations

import gc
import math
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

State = Literal["waiting", "running", "paused", "done", "failed", "cancelled"]
Work = Callable[["Job"], Any]
ABANDONED = 600.0  # seconds after which a paused job that nobody looks at is cancelled


class Cancelled(Exception):
    """Raised inside a job's work by `report`, once somebody has cancelled the job."""


class Line:
    """Lets `places` in at a time, in the order of arrival."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: list[object] = []
        self._moved = threading.Condition()

    def join(self, who: object) -> None:
        """Puts somebody at the end."""
        with self._moved:
            self._waiting.append(who)

    def enter(self, who: object, gone: Callable[[], bool]) -> bool:
        """Waits for a place, from where one has joined or from the end. Returns False if `gone()` comes first."""
        with self._moved:
            if who not in self._waiting:
                self._waiting.append(who)
            self._moved.wait_for(lambda: gone() or (self._free > 0 and self._waiting[0] is who))
            self._waiting.remove(who)
            entered = not gone()
            self._free -= entered
            self._moved.notify_all()
            return entered

    def leave(self) -> None:
        """Gives a place back."""
        with self._moved:
            self._free += 1
            self._moved.notify_all()

    def look_again(self) -> None:
        """Lets whoever waits see whether it is gone."""
        with self._moved:
            self._moved.notify_all()

    def ahead(self, who: object) -> int:
        """Returns how many wait before this one."""
        with self._moved:
            return self._waiting.index(who) if who in self._waiting else 0

    def __len__(self) -> int:
        return len(self._waiting)


class Job:
    """Work under way, and what it has said so far. `frames` only grows; read it by index.

    Every watcher allows some number of frames: all of them (play), those there are (pause), one more (step). The work goes
    on as far as the one who allows most, so nobody's pause stops another; a job that rests gives its place to the next in
    line. It is cancelled when its last watcher leaves. Without watchers it runs to its end.

    Args:
        line: where it waits for a place.
        present: whether a watcher is still there (a closed page is not).
        owner: of work on somebody's own data: it stops when its owner is gone.
    """

    def __init__(
        self,
        key: str,
        work: Work,
        line: Line | None = None,
        present: Callable[[str], bool] = lambda who: True,
        owner: str = "",
    ) -> None:
        self.key, self.owner = key, owner
        self._work: Work | None = work
        self.state: State = "waiting"
        self.progress = 0.0
        self.frames: list[Any] = []
        self.result: Any = None
        self.error = ""
        self.touched = time.monotonic()
        self._line, self._present = Line(1) if line is None else line, present
        self._allowed: dict[str, float] = {}
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._placed = False

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def stopping(self) -> bool:
        """Whether it was cancelled; its work may need a moment to notice."""
        return self._stop.is_set()

    # -- what the work calls

    def report(self, progress: float, frame: Any = None) -> None:
        """Sets the progress (0 to 1) and keeps a frame; rests while nobody allows more. Raises Cancelled if asked for."""
        if self._stop.is_set() or (self.owner and not self._present(self.owner)):
            raise Cancelled
        self.progress = progress
        if frame is not None:
            self.frames.append(frame)
            if self._held():
                self._rest()

    def _held(self) -> bool:
        allowed = [
            frames for who, frames in list(self._allowed.items()) if self._present(who)
        ] or self._allowed.values()
        return len(self.frames) >= max(allowed, default=math.inf)

    def _rest(self) -> None:
        """Waits for somebody to allow more, with its place given to the next in line."""
        self.state = "paused"
        self._yield_place()
        with self._changed:
            while self._held() and not self._stop.is_set():
                self._changed.wait(1.0)
                if time.monotonic() - self.touched > ABANDONED:
                    self._stop.set()
        if self._stop.is_set():
            raise Cancelled
        self.state = "waiting"
        if not self._take_place():
            raise Cancelled
        self.state = "running"

    def _take_place(self) -> bool:
        self._placed = self._line.enter(self, self._stop.is_set)
        return self._placed

    def _yield_place(self) -> None:
        if self._placed:
            self._placed = False
            self._line.leave()

    # -- what a watcher calls

    def watch(self, who: str) -> None:
        """Counts somebody as watching; a newcomer finds the job as it is, paused or not."""
        self.touched = time.monotonic()
        self._allowed.setdefault(who, len(self.frames) if self.state == "paused" else math.inf)

    def allowed(self, who: str) -> float:
        """Returns how many frames this watcher allows; infinity while it plays."""
        return self._allowed.get(who, math.inf)

    def others(self, who: str) -> int:
        """Returns how many others watch."""
        return sum(self._present(other) for other in list(self._allowed) if other != who)

    def play(self, who: str) -> None:
        """Lets the work go on."""
        self._allow(who, math.inf)

    def pause(self, who: str) -> None:
        """Shows this watcher no further frame; the work rests if nobody else lets it go on."""
        self._allow(who, min(len(self.frames), self.allowed(who)))

    def step(self, who: str) -> None:
        """Allows one more frame than this watcher has seen."""
        self._allow(who, min(len(self.frames), self.allowed(who)) + 1)

    def leave(self, who: str) -> None:
        """Stops watching. The last to leave cancels the job."""
        self._allowed.pop(who, None)
        if not self.others(who):
            self.cancel()
        self._tell()

    def cancel(self) -> None:
        """Asks the work to stop at its next report."""
        self._stop.set()
        if self.state in ("waiting", "paused"):
            self.state = "cancelled"
        self._line.look_again()
        self._tell()

    def _allow(self, who: str, frames: float) -> None:
        self._allowed[who] = frames
        self.touched = time.monotonic()
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # -- what the thread calls

    def run(self) -> None:
        """Does the work, in the thread that calls, and lets go of it: it may hold much memory."""
        work, self._work = self._work, None
        if work is None or not self._take_place():
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
            self._yield_place()
            self.touched = time.monotonic()


class Jobs:
    """Jobs by key. A key says everything that decides the result, so the same request finds the same job.

    Args:
        running: how many work at once.
        kept: how many finished jobs are remembered at most.
        minutes: for how long after they were last looked at.
        unfinished: how many wait, run or rest at most.
        present: whether a watcher is still there.
    """

    def __init__(
        self,
        running: int = 2,
        kept: int = 24,
        minutes: float = 60,
        unfinished: int = 24,
        present: Callable[[str], bool] = lambda who: True,
    ) -> None:
        self.kept, self.seconds, self.unfinished, self.present = (
            kept,
            60 * minutes,
            unfinished,
            present,
        )
        self.line = Line(running)
        self._jobs: dict[str, Job] = {}
        self._begun: weakref.WeakSet[Job] = weakref.WeakSet()
        self._lock = threading.Lock()

    def submit(self, key: str, work: Work) -> Job:
        """Returns the job of this key: the one there is, unless it failed or was cancelled, or a new one in line.

        Where too many are unfinished, the new one has failed and says so.
        """
        with self._lock:
            job = self.get(key)
            self._forget()
            if job is None or job.stopping or job.state in ("failed", "cancelled"):
                job = self._jobs[key] = self._begin(Job(key, work, self.line, self.present))
            return job

    def lend(self, key: str, work: Work, owner: str) -> Job:
        """Returns a new job in line that is its owner's alone: nothing here keeps it, and it stops when its owner is gone."""
        with self._lock:
            return self._begin(Job(key, work, self.line, self.present, owner))

    def _begin(self, job: Job) -> Job:
        if sum(not other.over for other in self._begun) >= self.unfinished:
            job.state, job.error = (
                "failed",
                f"The line is full: {len(self.line)} wait already. Try again in a minute.",
            )
        else:
            self._begun.add(job)
            self.line.join(job)
            threading.Thread(target=job.run, daemon=True).start()
        return job

    def get(self, key: str) -> Job | None:
        """Returns the job of this key if it is still remembered; that it was asked for keeps it longer."""
        job = self._jobs.get(key)
        if job is not None:
            job.touched = time.monotonic()
        return job

    def drop(self, job: Job) -> None:
        """Forgets a job, unless another has taken its key."""
        with self._lock:
            if self._jobs.get(job.key) is job:
                del self._jobs[job.key]

    def ahead(self, job: Job) -> int:
        """Returns how many jobs wait in line before this one."""
        return self.line.ahead(job)

    def _forget(self) -> None:
        finished = sorted(
            (job for job in self._jobs.values() if job.over), key=lambda job: job.touched
        )
        old = [job for job in finished if time.monotonic() - job.touched > self.seconds]
        for job in {*old, *finished[: max(0, len(finished) - self.kept)]}:
            del self._jobs[job.key]


def warm_up() -> None:
    """Trains one step, so that whatever torch loads at its first step is there before somebody waits for it.

    What is loaded then is here to stay: garbage collections pass it over. One follows every run of a page, and would hold all
    threads for 0.2 s.
    """
    from heat_core.detectors.presets import preset_detector
    from heat_core.plane.toys import toy
    from heat_core.run import fit

    detector = preset_detector("HEAT", "quick", "plane")
    training = replace(getattr(detector, "training"), steps=1, records=1)  # noqa: B009
    fit(replace(detector, training=training), toy("blobs").features(64))  # type: ignore[type-var]
    gc.collect()
    gc.freeze()
