"""Visitors without a browser, who speak to the server as a browser does: over its websocket."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from streamlit.proto.Delta_pb2 import Delta
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.sync.client import ClientConnection

PATIENCE = 120.0  # seconds after which nothing is expected any more


class Visitor:
    """Somebody with a browser of their own, who opens links of an app.

    Args:
        url: of the server.
        address: in the network, which the server takes from a proxy on its own machine; none by
            default, which is that machine.
    """

    def __init__(self, url: str, address: str = "") -> None:
        self.url = url
        self.address = address
        with urllib.request.urlopen(f"{url}/_stcore/health") as answer:
            cookies = answer.headers.get_all("Set-Cookie") or []
        self.cookie = "; ".join(cookie.partition(";")[0] for cookie in cookies)

    @contextlib.contextmanager
    def tab(self) -> Iterator[Tab]:
        """Yields a new tab of this browser, which is closed in the end."""
        from websockets.sync.client import connect
        from websockets.typing import Origin, Subprotocol

        with connect(
            f"ws://{urlsplit(self.url).netloc}/_stcore/stream",
            origin=Origin(self.url),
            subprotocols=[Subprotocol("streamlit")],
            additional_headers=self._headers(),
            max_size=None,
            open_timeout=PATIENCE,
        ) as connection:
            yield Tab(self.url, connection)

    def _headers(self) -> dict[str, str]:
        forwarded = {"X-Forwarded-For": self.address} if self.address else {}
        return {"Cookie": self.cookie, **forwarded}


class Tab:
    """A tab: a connection to the server, and what came of the last run of its page.

    Args:
        url: of the server.
        connection: of its own.
    """

    def __init__(self, url: str, connection: ClientConnection) -> None:
        self.url = url
        self._connection = connection
        self._page = ""
        self._query = ""
        self._deltas: list[Delta] = []

    def open(self, page: str = "", **query: str) -> Tab:
        """Opens a link; returns this tab once the page's script has run."""
        self._page = page
        self._query = urlencode(query)
        return self.run()

    def press(self, label: str) -> Tab:
        """Presses the button of a label; returns this tab once the page has answered."""
        buttons = [delta.new_element.button for delta in self._deltas]
        return self.run(next(button.id for button in buttons if button.label == label))

    def run(self, pressed: str = "") -> Tab:
        """Runs the page again, as a browser does that polls; returns this tab.

        Args:
            pressed: the id of a button.
        """
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        message.rerun_script.query_string = self._query
        message.rerun_script.page_name = self._page
        if pressed:
            message.rerun_script.widget_states.widgets.add(id=pressed, trigger_value=True)
        self._connection.send(message.SerializeToString())
        self._deltas = []
        for answer in self._answers():
            kind = answer.WhichOneof("type")
            if kind == "delta":
                self._deltas.append(answer.delta)
            elif kind == "script_finished":
                break
        return self

    @property
    def text(self) -> str:
        """All that the page shows."""
        return "\n".join(map(str, self._deltas))

    def clear_caches(self) -> None:
        """Asks the server to empty its caches, which it does for everybody."""
        from streamlit.proto.BackMsg_pb2 import BackMsg

        self._connection.send(BackMsg(clear_cache=True).SerializeToString())

    def wait_for(self, text: str, pause: float = 0.2) -> None:
        """Runs the page again and again until it shows a text."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.run().text:
            if time.monotonic() > deadline:
                raise RuntimeError(f"it did not come: {text}")
            time.sleep(pause)

    def _answers(self) -> Iterator[ForwardMsg]:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        while True:
            data = self._connection.recv(timeout=PATIENCE)
            assert isinstance(data, bytes)
            yield ForwardMsg.FromString(data)


@contextlib.contextmanager
def burst(
    visitors: Sequence[Visitor], links: Sequence[dict[str, str]], seconds: float
) -> Iterator[None]:
    """Opens links in tabs of their own, evenly over some seconds, and keeps the tabs open.

    The block runs meanwhile; when it ends, the tabs are closed.

    Args:
        visitors: who opens each link.
        links: the query parameters of each.
    """
    stack = contextlib.ExitStack()
    lock = threading.Lock()

    def open_one(visitor: Visitor, query: dict[str, str], delay: float) -> None:
        time.sleep(delay)
        with lock:
            tab = stack.enter_context(visitor.tab())
        tab.open(**query)

    threads = [
        threading.Thread(target=open_one, args=(visitor, query, i * seconds / len(links)))
        for i, (visitor, query) in enumerate(zip(visitors, links, strict=True))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
        stack.close()
