"""HTML and SVG built of elements: whatever is no element is text, and is escaped."""

from __future__ import annotations

from html import escape

from heat_core.texts import without_controls

VOID = frozenset({"meta"})  # elements without an end


class Html(str):
    """Finished HTML, which goes into an element as it is."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: object) -> Html:
    """Returns an element.

    Args:
        name: of its tag.
        children: what is in it: `Html`, or anything else as text.
        attributes: `class_` is class, and `aria_label` is aria-label.

    >>> element("td", "a < b", element("b", 1), class_="number")
    '<td class="number">a &lt; b<b>1</b></td>'
    """
    words = [name]
    words += [
        f'{key.rstrip("_").replace("_", "-")}="{_text(value)}"' for key, value in attributes.items()
    ]
    begin = f"<{' '.join(words)}>"
    return Html(begin if name in VOID else f"{begin}{joined(*children)}</{name}>")


def joined(*children: object) -> Html:
    """Returns elements and texts one after another; a line never begins with the sign of percent.

    >>> joined("a & ", element("b", "5 %"))
    'a &amp; <b>5\\xa0%</b>'
    """
    return Html(
        "".join(
            child if isinstance(child, Html) else _text(child).replace(" %", "\N{NO-BREAK SPACE}%")
            for child in children
        )
    )


def document(title: str, style: str, body: Html, allowed: str) -> str:
    """Returns an HTML page in either light.

    Args:
        title: of the page, as text.
        style: its CSS.
        body: its `body` element.
        allowed: what it may run and fetch, as a Content-Security-Policy.

    >>> page = document("a < b", "", element("body"), "default-src 'none'")
    >>> page.startswith("<!DOCTYPE html>"), "<title>a &lt; b</title>" in page
    (True, True)
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=allowed),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(style)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _text(value: object) -> str:
    """Returns a text that changes nothing around it; half a surrogate pair is a question mark."""
    text = str(value).encode("utf-8", "replace").decode()
    return escape(without_controls(text))
