"""Every module of the app is there before a test puts something else in a module's place.

One that is first imported within such a test would keep the stand-in for all tests after it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

APP = Path(__file__).parents[2] / "app"

for path in sorted(APP.rglob("*.py")):
    if path.name not in ("main.py", "page.py", "__init__.py"):  # Streamlit runs pages, as scripts
        import_module(".".join(path.relative_to(APP.parent).with_suffix("").parts))
