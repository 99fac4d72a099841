"""Which requests are copied: drawn by their id, in the router (templates/nginx/routing.js) and
here alike, so that of all that stable heard only the other halves of pairs are kept."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

_DRAWS: Final = 2**32


def is_copied(request_id: str, salt: str, percent: float) -> bool:
    """Whether a copy of the request was sent while `percent` were copied, if it could be one.

    `salt` is the rollout's id: another rollout draws others."""
    digest = hmac.new(salt.encode(), request_id.encode(), hashlib.sha256).hexdigest()
    return int(digest[:8], 16) * 100 < percent * _DRAWS
