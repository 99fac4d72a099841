"""Templates and plans: inside the wheel, or beside the packages in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent


def templates_dir() -> Path:
    """The folder of nginx's templates."""
    return _find("templates/nginx")


def rollouts_dir() -> Path:
    """The folder of the shipped plans."""
    return _find("rollouts")


def _find(name: str) -> Path:
    shipped = _PACKAGE / "data" / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name
