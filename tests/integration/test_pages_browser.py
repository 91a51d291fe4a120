"""A real browser looks at the pages: they are drawn, fit a phone, and the browser complains about nothing."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from served import a_notice, furnish, served
from servers import chromium

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--v=0",
]  # fmt: skip


def _browse(tmp_path: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [chromium.find() or "chromium", *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *arguments, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.needs_chromium
@pytest.mark.parametrize("size", [(500, 1200), (1280, 900)], ids=["phone", "desktop"])
def test_the_public_page_is_drawn_with_its_style(tmp_path: Path, size: tuple[int, int]) -> None:
    with served(tmp_path, exercise=True) as house:
        furnish(house)
        house.services.registry.save_notice(a_notice("n-2", count=3))
        picture = tmp_path / "page.png"
        seen = _browse(tmp_path, house.url + "/", f"--screenshot={picture}", f"--window-size={size[0]},{size[1]}")
    assert struct.unpack(">II", picture.read_bytes()[16:24]) == size
    assert picture.stat().st_size > 20_000  # an unstyled or empty page is far smaller
    assert "CONSOLE" not in seen.stderr  # no refused style, script or request


@pytest.mark.needs_chromium
def test_the_browser_reads_the_page_without_running_anything(tmp_path: Path) -> None:
    with served(tmp_path) as house:
        furnish(house)
        dom = _browse(tmp_path, house.url + "/?lang=en", "--dump-dom").stdout
    assert "Water cut in Rua de Camões" in dom
    assert "<script" not in dom
