"""The plain status page, from a status as the API shows it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controller.api.pages import environment, sentence
from tests.test_views import STATUS


def page(**percent: float) -> str:
    value: dict[str, Any] = copy.deepcopy(STATUS)
    value["rollout"] |= {"copies": None, "people": None}
    value["router"] |= {"percent": percent, "serving": "v1", "running": True}
    value["router"]["traffic"] |= {"failed": 0, "rescued": 0, "keys": 300}
    value["fleet"] = {"stable": "v1", "previous": None, "retired": None, "bad": []}
    template = environment().get_template("status.html.j2")
    return template.render(value=value, sentence=sentence(value))


@pytest.mark.parametrize("shares", [{}, {"baseline": 5.0}])
def test_the_page_shows_the_share_of_a_baseline_where_there_is_one(
    shares: dict[str, float],
) -> None:
    text = page(stable=95.0 - sum(shares.values()), canary=5.0, **shares)
    assert "canary 5 %" in text
    assert ("baseline 5 %" in text) is bool(shares)
