"""Who votes: each rater has a link of their own, signed with the state folder's token. It lets
them vote under their name, and nothing else; a new token ends all links."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final

from controller.core.errors import Refused

RATER: Final = r"^[\w.@ -]{1,64}$"


class RaterKeys:
    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def key(self, rater: str) -> str:
        """What proves that somebody is this rater. Raises Refused for what is no name."""
        if not re.fullmatch(RATER, rater):
            raise Refused(f"{rater!r} names no rater: use 1-64 letters, digits, spaces, . @ _ -")
        name = base64.urlsafe_b64encode(rater.encode()).decode().rstrip("=")
        return f"{name}.{self._signature(rater)}"

    def rater(self, key: str) -> str | None:
        """Whose key it is; None where it is nobody's."""
        name, _, signature = key.partition(".")
        try:
            rater = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
        except (binascii.Error, ValueError):
            return None
        valid = hmac.compare_digest(signature.encode(), self._signature(rater).encode())
        return rater if valid and re.fullmatch(RATER, rater) else None

    def _signature(self, rater: str) -> str:
        return hmac.new(self._token, f"review\0{rater}".encode(), hashlib.sha256).hexdigest()
