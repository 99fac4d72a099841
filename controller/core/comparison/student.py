"""Between Student's t and the normal distribution, both ways.

Wallace (1959), "Bounds on normal approximations to Student's and the chi-square distributions":
within 0.002 of the exact quantile at 95 % from 9 degrees of freedom on."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

NORMAL: Final = NormalDist()


def t_from_z(z: float, freedom: int) -> float:
    """The t value, of `freedom` degrees of freedom, that is as likely as the normal's `z`."""
    ratio = (8 * freedom + 3) / (8 * freedom + 1)
    size = math.sqrt(freedom * math.expm1((z * ratio) ** 2 / freedom))
    return math.copysign(size, z)


def z_from_t(t: float, freedom: int) -> float:
    """The inverse of `t_from_z`."""
    ratio = (8 * freedom + 1) / (8 * freedom + 3)
    return math.copysign(ratio * math.sqrt(freedom * math.log1p(t * t / freedom)), t)
