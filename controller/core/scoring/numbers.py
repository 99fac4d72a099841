"""Numbers by value: 一零零八六, 幺零零八六 and 10086 become alike, as do 50% and 百分之五十."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

from controller.core.errors import Refused


def numbers_unavailable() -> str | None:
    """Why there is no form "numbers" here; None where there is."""
    if importlib.util.find_spec("itn") is not None:
        return None
    return (
        "rates with numbers normalised are left out: wetextprocessing is not installed "
        "(pip install 'asr-rollout[numbers]')"
    )


def numbers_as_digits(text: str) -> str:
    """Raises Refused where wetextprocessing is not installed."""
    reason = numbers_unavailable()
    if reason is not None:
        raise Refused(reason)
    return str(_inverse().normalize(text)) if text else text


@functools.cache
def _inverse() -> Any:
    from itn.chinese.inverse_normalizer import InverseNormalizer  # 0.2 s

    return InverseNormalizer()
