"""Lines of the access log, as the engine has them."""

from __future__ import annotations

from controller.engine.records import Served


def served(
    *attempts: tuple[str, int | None], at: float, waited_seconds: float = 0.0, status: int = 200
) -> Served:
    return Served(
        pool="stable",
        decided_by="stable",
        key_hash="k",
        status=status,
        attempts=attempts,
        at=at,
        waited_seconds=waited_seconds,
    )
