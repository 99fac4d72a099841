"""Words that a client wants heard, from the one text field that clients have for them."""

from __future__ import annotations

import re
from typing import Final

CJK: Final = r"[\u3040-\u30ff\u3400-\u9fff]"
# Commas of both scripts and lines part words everywhere. A plain space does so only beside a
# Chinese character: "Open Sesame" is one word, "阿里巴巴 通义" are two.
PARTS: Final = re.compile(rf"[,，、;；\r\n\t\u3000]+|(?<={CJK}) +| +(?={CJK})")


def hotwords(*texts: str) -> tuple[str, ...]:
    """In their order, each once."""
    words = (word.strip() for text in texts for word in PARTS.split(text))
    return tuple(dict.fromkeys(word for word in words if word))
