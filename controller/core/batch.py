"""Ids of batches: each names the node that took it."""

from __future__ import annotations

import re
from typing import Final

# As nodes make them, and as templates/nginx/routing.js reads them.
_ID: Final = re.compile(r"batch_([a-z0-9][a-z0-9._-]{0,62})_[0-9a-f]{32}")


def node_of(batch_id: str) -> str | None:
    """The name of the node that has this batch; None where it is no id of a batch. One that is
    may be the name of a file."""
    found = _ID.fullmatch(batch_id)
    return found[1] if found else None
