"""The real browser that looks at the pages."""

from __future__ import annotations

import shutil


def find() -> str | None:
    """Return Chromium's path, or None where it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")
