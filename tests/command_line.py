"""The command line in this process: what it printed, and the exit code."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.cli import main


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON document that is all of stdout."""
        return json.loads(self.out)


class CommandLine:
    """Runs `h2twin` on one data folder, with no settings but those given."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.data_dir = folder / "data"
        self._patch = patch
        self._capture = capture
        for name in [name for name in os.environ if name.startswith("TWIN_")]:
            patch.delenv(name)
        patch.setenv("TWIN_DATA_DIR", str(self.data_dir))
        patch.setenv("TWIN_WORKERS", "1")

    def set(self, name: str, value: str) -> None:
        """Set an environment variable for the rest of the test."""
        self._patch.setenv(name, value)

    def __call__(self, *arguments: object) -> Answer:
        self._capture.readouterr()
        self._patch.setattr(sys, "argv", ["h2twin", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = self._capture.readouterr()
        return Answer(code, captured.out, captured.err)

    def ok(self, *arguments: object) -> Any:
        """Run with `--json`, insist on exit code 0, and return the document."""
        answer = self(*arguments, "--json")
        assert answer.code == 0, answer.err
        return answer.json
