"""What comes after the question mark."""

from __future__ import annotations

from collections.abc import Set

from fastapi import Request

from asr_node.errors import RequestRefused


async def no_names(request: Request) -> None:
    """A dependency of routes that know none. Raises RequestRefused."""
    check_names(request, frozenset())


def check_names(request: Request, known: Set[str]) -> None:
    """Nothing is ignored in silence. Raises RequestRefused, which names what is not `known`."""
    for name in request.query_params:
        if name not in known:
            raise RequestRefused(
                f"Unknown parameter: {name}.", param=name, code="unknown_parameter"
            )
