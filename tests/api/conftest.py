"""Fixtures of the tests over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.review_site import Site
from tests.core.rollouts import a_rollout


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    await made.review.open(a_rollout(), "ann")
    yield made
    made.store.close()
