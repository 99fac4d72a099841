"""The API keys that a fleet's nodes ask their clients for, and the controller's own among them.

A file, never an argument or an environment variable: those stand in process lists. Each node gets
a copy in its data folder, since a container sees no other file of ours."""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller.adapters.files import write_atomically
from controller.core.errors import InvalidConfig

log = logging.getLogger(__name__)
COPY: Final = "api.keys"
SHORTEST: Final = 16  # characters, as nodes ask for


@dataclass(slots=True)
class _Last:
    text: str = ""  # of the file when it last held good keys
    refused: str = ""  # why it is not read now


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """`file`: one key a line, # begins a comment; None where nodes ask for none. The controller
    sends the first key. All is read anew each time, so that keys can be exchanged; while the file
    is one that nodes would refuse (half written, saved with a byte order mark), the last good
    keys hold, as they do at the nodes."""

    file: Path | None = None
    _last: _Last = field(default_factory=_Last, init=False, repr=False, compare=False)

    def check(self) -> None:
        """Raises InvalidConfig where nodes would refuse the file, or the controller could not
        send its first key."""
        self._checked()

    def own(self) -> str | None:
        """The key that the controller sends; None where nodes ask for none."""
        return next(iter(_keys(self._good())), None)

    def allow(self, given: str | None) -> bool:
        """Whether nodes would answer who sends this key, or none."""
        if self.file is None:
            return True
        sent = (given or "").encode()
        return any(hmac.compare_digest(key.encode(), sent) for key in _keys(self._good()))

    def arguments(self, data_dir: Path) -> list[str]:
        """Of a node; `data_dir` is its data folder as it sees it."""
        return ["--api-keys-file", str(data_dir / COPY)] if self.file is not None else []

    def hand_to(self, data_dir: Path) -> None:
        """Write the node's copy, unless it is the same. Raises OSError or ValueError where there
        is nothing to copy."""
        if self.file is None:
            return
        text, copy = self._good(), data_dir / COPY
        if not text:
            raise ValueError(f"{self.file} has held no good key yet")
        if not copy.exists() or copy.read_text(encoding="utf-8") != text:
            write_atomically(copy, text)

    def hand_out(self, nodes_dir: Path) -> None:
        """To all nodes that have a copy: they look at it with every request."""
        for copy in nodes_dir.glob(f"*/{COPY}"):
            try:
                self.hand_to(copy.parent)
            except (OSError, ValueError) as error:
                log.warning("api_keys.not_handed_out folder=%s error=%s", copy.parent, error)

    def _good(self) -> str:
        """The file's text, or the last that nodes would not refuse; the reason is logged once."""
        try:
            self._last.text, refused = self._checked(), ""
        except InvalidConfig as error:
            refused = str(error)
        if refused and refused != self._last.refused:
            log.warning("api_keys.refused the_last_ones_hold=true error=%s", refused)
        self._last.refused = refused
        return self._last.text

    def _checked(self) -> str:
        """Raises InvalidConfig."""
        if self.file is None:
            return ""
        try:
            text = self.file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InvalidConfig(f"{self.file} cannot be read: {error}") from error
        if not (keys := _keys(text)):
            raise InvalidConfig(f"{self.file} holds no key: write one a line")
        if any(len(key) < SHORTEST or not _can_be_sent(key) for key in keys):
            raise InvalidConfig(
                f"{self.file}: a key is shorter than {SHORTEST} characters, or has others than "
                f"printable ASCII (a byte order mark at its beginning is one)"
            )
        return text


NO_KEYS: Final = ApiKeys()


def _can_be_sent(key: str) -> bool:
    return key.isascii() and key.isprintable()


def _keys(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
