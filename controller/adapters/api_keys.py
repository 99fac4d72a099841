"""The API keys that a fleet's nodes ask their clients for, and the controller's own among them.

A file, never an argument or an environment variable: those stand in process lists. Each node gets
a copy in its data folder, since a container sees no other file of ours."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.adapters.files import write_atomically
from controller.core.errors import InvalidConfig

log = logging.getLogger(__name__)
COPY: Final = "api.keys"
SHORTEST: Final = 16  # characters, as nodes ask for


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """`file`: one key a line, # begins a comment; None where nodes ask for none. The controller
    sends the first key. All is read anew each time, so that keys can be exchanged."""

    file: Path | None = None

    def check(self) -> None:
        """Raises InvalidConfig where nodes would refuse the file."""
        try:
            keys = _keys(self._text())
        except (OSError, ValueError) as error:
            raise InvalidConfig(f"{self.file} cannot be read: {error}") from error
        if self.file is not None and not keys:
            raise InvalidConfig(f"{self.file} holds no key: write one a line")
        if any(len(key) < SHORTEST or not key.isascii() for key in keys):
            raise InvalidConfig(
                f"{self.file}: a key is shorter than {SHORTEST} characters, or has others than "
                f"ASCII"
            )

    def own(self) -> str | None:
        """The key that the controller sends; None where nodes ask for none."""
        try:
            return next(iter(_keys(self._text())), None)
        except (OSError, ValueError) as error:
            log.warning("api_keys.unreadable error=%s", error)
            return None

    def arguments(self, data_dir: Path) -> list[str]:
        """Of a node; `data_dir` is its data folder as it sees it."""
        return ["--api-keys-file", str(data_dir / COPY)] if self.file is not None else []

    def hand_to(self, data_dir: Path) -> None:
        """Write the node's copy, unless it is the same. Raises OSError or ValueError where there
        is nothing to copy."""
        if self.file is None:
            return
        text, copy = self._text(), data_dir / COPY
        if not _keys(text):  # it is being written this moment: nobody is shut out for that
            raise ValueError(f"{self.file} holds no key")
        if not copy.exists() or copy.read_text(encoding="utf-8") != text:
            write_atomically(copy, text)

    def hand_out(self, nodes_dir: Path) -> None:
        """To all nodes that have a copy: they look at it with every request."""
        for copy in nodes_dir.glob(f"*/{COPY}"):
            try:
                self.hand_to(copy.parent)
            except (OSError, ValueError) as error:
                log.warning("api_keys.not_handed_out folder=%s error=%s", copy.parent, error)

    def _text(self) -> str:
        return self.file.read_text(encoding="utf-8") if self.file is not None else ""


NO_KEYS: Final = ApiKeys()


def _keys(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
