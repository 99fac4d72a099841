"""The door that clients come through, asked as one of them."""

from __future__ import annotations

import http.client
from typing import Final

_SECONDS: Final = 5.0


def answers(host: str, port: int) -> bool:
    """Whether the router at `host`:`port` answers at all, whatever it says."""
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
