"""What lives as long as the server: its job queue, its uploads, what clears up behind visitors."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import gc
import logging
import os
import sys
import threading
import time
import weakref

from streamlit import runtime
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

from app.jobs import JobQueue
from app.kept import kept_uploads
from app.left_files import LeftFiles, uploads_limit
from app.turns import PageTurns
from app.uploads import UploadBudget, UploadReader
from app.warm_up import before_each_forward, warm_up

LOGGER = logging.getLogger(__name__)

TEND_SECONDS = 5.0  # between two rounds of the caretaker
# A session whose tab has gone is closed after so long. Streamlit forgets it after 120 s, but closes
# it only when somebody else comes or goes.
CLOSE_SECONDS = 110.0
# After which a thread must let another one run Python. Of Python's own 5 ms a page would wait for
# each of many moments while two trainings are under way.
SWITCH_SECONDS = 0.001
EXPIRY_CHECK_SECONDS = 60.0  # between two looks for kept uploads that have expired
COLLECT_SECONDS = 60.0  # between two garbage collections while somebody is there
EXIT_SECONDS = 8.0  # that threads get to end in when the server stops; Docker kills it after 10
TEST_EXIT_SECONDS = 60.0  # and where no server runs, as in tests


def is_connected(tab: str) -> bool:
    """Returns whether a tab is still connected. One that was closed or loaded anew is not."""
    return not runtime.exists() or bool(runtime.get_instance().is_active_session(tab))


class Server:
    """The job queue, the uploads, the tabs that were seen, and the threads beside the pages.

    There is one, `SERVER`, made when this module is imported. It is no global state of a page: it
    is what the process consists of, as its threads are. It is not in `st.cache_resource`, since any
    visitor can empty that by a message that Streamlit takes from everybody.
    """

    def __init__(self) -> None:
        self.jobs = JobQueue(is_connected=is_connected)
        self.page_turns = PageTurns()
        self.uploads = UploadReader(UploadBudget(uploads_limit()), is_connected)
        self.kept = kept_uploads()
        self._last_look_at_kept = -EXPIRY_CHECK_SECONDS
        self._last_seen: dict[str, float] = {}  # {tab: when it was last seen connected}
        self._sessions: weakref.WeakValueDictionary[str, AppSession] = weakref.WeakValueDictionary()
        self._last_collection = time.monotonic()
        self._is_open = False
        self._lock = threading.Lock()

    def welcome(self, tab: str) -> None:
        """Notes that a tab is there. With the first one begins what works beside the pages."""
        with self._lock:
            self._last_seen[tab] = time.monotonic()
            session = runtime.get_instance().get_app_session(tab) if runtime.exists() else None
            if session is not None:
                self._sessions[tab] = session
            if self._is_open:
                return
            self._is_open = True
        bound_left_files()
        sys.setswitchinterval(SWITCH_SECONDS)
        self.jobs.start_thread(self._warm_up)
        threading.Thread(target=self._tend_for_ever, daemon=True).start()

    def _warm_up(self) -> None:
        """Warms torch up; from then on every step of a job lets pages go first."""
        warm_up()
        before_each_forward(self._let_pages_go_first)

    def _let_pages_go_first(self) -> None:
        if self.jobs.is_at_work_here():
            self.page_turns.let_pages_go_first()

    def _tend_for_ever(self) -> None:
        while True:
            time.sleep(TEND_SECONDS)
            try:
                self.tend()
            except Exception:  # whatever it was, the next round may go well
                LOGGER.exception("Clearing up behind visitors failed.")

    def tend(self) -> None:
        """Ends what nobody waits for, and closes the sessions of tabs that have gone.

        What they leave goes at once: much of it refers to itself in a circle, which only a garbage
        collection frees. Streamlit would collect after each run of a page, which holds all threads
        for 0.2 s once torch is loaded; that is switched off in `.streamlit/config.toml`.
        """
        self.jobs.tend()
        self.uploads.jobs.tend()
        self._remove_expired_uploads()
        has_closed = self._close_sessions()
        now = time.monotonic()
        is_due = bool(self._last_seen) and now - self._last_collection > COLLECT_SECONDS
        if has_closed or is_due:
            self._last_collection = now
            gc.collect()
            return_freed_memory()

    def _remove_expired_uploads(self) -> None:
        now = time.monotonic()
        if self.kept is not None and now - self._last_look_at_kept >= EXPIRY_CHECK_SECONDS:
            self._last_look_at_kept = now
            self.kept.tend()

    def _close_sessions(self) -> bool:
        """Closes the sessions of tabs that have been gone for long; returns whether there were."""
        now = time.monotonic()
        with self._lock:
            connected = [tab for tab in self._last_seen if is_connected(tab)]
            self._last_seen.update(dict.fromkeys(connected, now))
            gone = [tab for tab, seen in self._last_seen.items() if now - seen > CLOSE_SECONDS]
            for tab in gone:
                del self._last_seen[tab]
        for tab in gone:
            close_session(tab, self._sessions.get(tab))
        return bool(gone)

    def stop(self) -> None:
        """Stops all jobs and waits for their threads; one that does not end is left behind.

        A thread that is in compiled code when the interpreter goes would abort it. Where one does
        not come to a report in time, a server ends without taking the interpreter apart.
        """
        has_server = runtime.exists()
        seconds = EXIT_SECONDS if has_server else TEST_EXIT_SECONDS
        ended = [queue.stop(seconds / 2) for queue in (self.jobs, self.uploads.jobs)]
        has_ended = all(ended)
        if has_server and not has_ended:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


def return_freed_memory() -> None:
    """Gives memory that was freed back to the system, where its C library can be told to.

    glibc keeps what lies between small allocations: 135 MiB after all detectors were fitted once.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def bound_left_files() -> None:
    """Bounds what the files of all tabs may hold, where a server runs."""
    manager = runtime.get_instance().uploaded_file_mgr if runtime.exists() else None
    if isinstance(manager, MemoryUploadedFileManager):  # else it stands in for one, as in tests
        LeftFiles(manager, uploads_limit()).bound()


def close_session(tab: str, session: AppSession | None) -> None:
    """Closes a session whose tab has not come back: its pictures, its uploads, its state.

    The state is emptied, too, since Streamlit's main loop holds on to the session that it served
    last for as long as nobody else comes.
    """
    done = threading.Event()

    def close() -> None:
        try:
            if not is_connected(tab):
                runtime.get_instance().close_session(tab)
                if session is not None:
                    session.session_state.clear()
        finally:
            done.set()

    with contextlib.suppress(RuntimeError):  # the server is about to stop
        stopped = runtime.get_instance().stopped
        assert isinstance(stopped, asyncio.Future)
        stopped.get_loop().call_soon_threadsafe(close)
        done.wait(TEND_SECONDS)


SERVER = Server()
atexit.register(lambda: SERVER.stop())
