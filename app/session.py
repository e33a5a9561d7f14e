"""The browser tab, its visitor, its link, and jobs of the server's queue."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
from collections.abc import Collection, Iterator, Sequence

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.job import EVERYBODY, Job, Work
from app.jobs import JobQueue
from app.kept import KeptUploads
from app.server import SERVER
from app.slots import Visitor
from app.text import plain
from app.uploads import UploadReader

# Keys of widgets, which are words of the link, too. The words that pages and code have now are
# others; these stay, so that old links go on to work.
RULE_KEY = "objective"  # which rule chooses the threshold
THRESHOLD_KEY = "cut"
SCORES_OF_KEY = "scorer"  # the detector whose scores a page of a pack shows
SHARE_TO_KEEP_KEY = "keep"
SCORE_UNIT_KEY = "scale"
SELECTION_KEY = "picked"  # in the link alone
EARLY_STOPPING_KEY = "early"

BROWSER_COOKIE = "_streamlit_xsrf"  # Streamlit's own, the same in all tabs of a browser


@contextlib.contextmanager
def visit() -> Iterator[None]:
    """Lets a page run: tells the server that its tab is there, and waits for its visitor's turn."""
    SERVER.welcome(tab_id())
    with SERVER.page_turns.turn(visitor()):
        yield


def job_queue() -> JobQueue:
    """Returns the server's job queue."""
    return SERVER.jobs


def upload_reader() -> UploadReader:
    """Returns what reads uploads for the server."""
    return SERVER.uploads


def kept_uploads() -> KeptUploads | None:
    """Returns where the server keeps uploads; None if its operator has not said where."""
    return SERVER.kept


def tab_id() -> str:
    """Returns the id of the browser tab that this run is for."""
    context = get_script_run_ctx()
    return context.session_id if context else ""


def visitor() -> Visitor:
    """Returns who this run is for: (network address, browser), each empty where it is not known.

    All tabs of a browser are one visitor, since one link more is one tab more. Neither part is a
    secret or a proof: they say with whom to share the line, and nothing else.
    """
    address = st.context.ip_address
    cookie = st.context.cookies.get(BROWSER_COOKIE, "")
    return _network_of(str(address or "")), _token_of(str(cookie))


def _network_of(address: str) -> str:
    """Returns an address, of IPv6 its network: whoever has one has all the addresses in it.

    >>> _network_of("192.0.2.1"), _network_of("2001:db8::1:2"), _network_of("")
    ('192.0.2.1', '2001:db8::/64', '')
    >>> _network_of("::ffff:192.0.2.1")  # as a socket of both kinds says it
    '192.0.2.1'
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def _token_of(cookie: str) -> str:
    """Returns what stays the same of Streamlit's cookie, which is masked anew in every answer.

    >>> _token_of("2|00000000|c0ffee|1790000000") == _token_of("2|ffffffff|3f0011|1790000000")
    True
    """
    try:
        _, mask, masked, _ = cookie.strip("\"'").split("|")
        pairs = zip(bytes.fromhex(masked), itertools.cycle(bytes.fromhex(mask)), strict=False)
        return bytes(byte ^ key for byte, key in pairs).hex()
    except ValueError:
        return ""


# -- jobs ------------------------------------------------------------------------------------------


def submit_job(key: str, work: Work, for_everybody: bool = False) -> Job:
    """Returns the job of this key, as `JobQueue.submit` does.

    A refusal is this tab's alone: `find_job` returns it here until the next attempt.

    Args:
        for_everybody: whether it is the same work for all, and in nobody's quota.
    """
    job = job_queue().submit(key, work, EVERYBODY if for_everybody else visitor())
    keep_refusal(job)
    return job


def keep_refusal(job: Job) -> None:
    """Keeps a job for this tab if it was refused; else forgets an earlier refusal of its key."""
    if job.was_refused:
        _refused_jobs()[job.key] = job
    else:
        _refused_jobs().pop(job.key, None)


def find_job(key: str) -> Job | None:
    """Returns the job of this key, or else the one that this tab was refused."""
    return job_queue().get(key) or refused_job(key)


def refused_job(key: str) -> Job | None:
    """Returns the job of this key that this tab was refused."""
    return _refused_jobs().get(key)


def _refused_jobs() -> dict[str, Job]:
    return st.session_state.setdefault("refused_jobs", {})


# -- the link --------------------------------------------------------------------------------------


def from_link(key: str, options: Sequence[str]) -> None:
    """Sets a widget to what the link asks for, where it asks for something new.

    For widgets whose options are not what they show: one that is bound to the link puts there what
    it shows.
    """
    value = st.query_params.get(key, "")
    if value in options and value != st.session_state.get(f"linked-{key}"):
        st.session_state[key] = value


def to_link(key: str, value: str) -> str:
    """Returns a widget's value and keeps it in the link, where `from_link` finds it."""
    st.session_state[f"linked-{key}"] = value
    return write_to_link(key, value)


def is_asked_for_by_link(*keys: str) -> bool:
    """Returns whether this tab's link names one of some choices, or has done so before.

    A choice that is back at its default leaves the link: a fold that followed the link alone would
    close in the hands of whoever chose it.
    """
    asked_for: set[str] = st.session_state.setdefault("asked_for_by_link", set())
    asked_for.update(key for key in keys if key in st.query_params)
    return not asked_for.isdisjoint(keys)


def write_to_link(key: str, value: str) -> str:
    """Returns a value and writes it to the link; an empty one is left out of it."""
    if not value:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != value:
        st.query_params[key] = value
    return value


def warn_if_not_offered(key: str, options: Collection[str], noun: str) -> None:
    """Warns where the link asks for an option that a widget does not offer, or for several."""
    for value in st.query_params.get_all(key):
        if not value or value in options:
            continue
        message = (
            f"The link asks for the {noun} {plain(value, 60)}, which is not offered here; "
            "another is shown."
        )
        st.warning(message, icon=":material/link_off:")
