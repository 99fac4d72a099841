"""Names are validated once, at the edge; inside, they are safe in paths, URLs and nginx."""

import re
from collections.abc import Sequence
from typing import Final

from controller.core.errors import InvalidConfig, InvalidName

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
RESERVED: Final = frozenset({"stable", "canary", "backup", "baseline", "retired"})


def check_name(value: str, what: str) -> str:
    """Return `value` if it can name a version, node, plan or eval set.

    1-63 characters of a-z, 0-9, dot, underscore and hyphen, alphanumeric at both ends (which
    is also a valid Docker container and file name). Raises InvalidName."""
    if not _NAME.fullmatch(value) or ".." in value:
        raise InvalidName(
            f"{what} {value!r} is not a valid name: use 1-63 of a-z 0-9 . _ - and begin and end "
            f"with a letter or digit"
        )
    if value in RESERVED:
        raise InvalidName(f"{what} {value!r} is the name of a pool: choose another")
    return value


def refuse_duplicates(key: str, names: Sequence[str]) -> None:
    """Raises InvalidConfig."""
    for name in names:
        if names.count(name) > 1:
            raise InvalidConfig(f"{key}: {name!r} is named twice")
