"""What the process runtime needs of this Python: nodes run in it."""

from __future__ import annotations

import importlib.util
from typing import Final

_NODE_PACKAGES: Final = ("asr_node", "av", "funasr", "kaldi_native_fbank", "torch")


def missing_packages() -> list[str]:
    """Those that are not installed, by the names under which they are imported."""
    return [name for name in _NODE_PACKAGES if importlib.util.find_spec(name) is None]
