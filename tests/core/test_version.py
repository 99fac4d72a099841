from __future__ import annotations

import pytest

from controller.core.errors import InvalidConfig
from controller.core.version import Version


@pytest.mark.parametrize("model", ["", " "])
def test_a_version_without_a_model_is_refused_by_name(model: str) -> None:
    with pytest.raises(InvalidConfig, match="version v9: model: name a folder"):
        Version("v9", model)
