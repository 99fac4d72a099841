"""What node and decoder say to each other. No pickles: a decoder that a file has taken over must
not run anything in the node, which believes nothing of an answer that it has not checked.

The node asks with a head and the file: its bytes, or a descriptor that comes along with the head.
The decoder says HELLO once, then answers each file with SAMPLES, a block at a time, and END; or
with REFUSAL wherever it comes to that. Each part is a head and a body.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Final

from asr_node.errors import RequestRefused
from asr_node.recognizer import SAMPLE_RATE

ASK: Final = struct.Struct("<dq")  # seconds that a recording may last; bytes of the file
DESCRIPTOR: Final = -1  # in the place of the number of bytes

PART: Final = struct.Struct("<cI")  # its kind, and the bytes of its body
HELLO: Final = b"H"
SAMPLES: Final = b"S"
END: Final = b"E"
REFUSAL: Final = b"R"

BLOCK: Final = 16 * SAMPLE_RATE  # samples; most recordings are one block
MAX_BODY_BYTES: Final = {HELLO: 0, SAMPLES: 2 * BLOCK * 4, END: 0, REFUSAL: 64 * 1024}


class Nonsense(Exception):
    """What no decoder of ours would say."""


@dataclass(frozen=True, slots=True)
class Part:
    kind: bytes
    size: int  # of the body, in bytes

    @classmethod
    def read(cls, head: bytes | bytearray) -> Part:
        """Raises Nonsense."""
        kind, size = PART.unpack(head)
        if size > MAX_BODY_BYTES.get(kind, -1) or (kind == SAMPLES and size % 4):
            raise Nonsense(f"{kind!r} of {size} bytes")
        return cls(kind, size)


def refusal_bytes(refusal: RequestRefused) -> bytes:
    fields = {"message": refusal.message, "status": refusal.status}
    return json.dumps(fields | {"param": refusal.param, "code": refusal.code}).encode()


def refusal_of(body: bytes | bytearray) -> RequestRefused:
    """Raises Nonsense."""
    try:
        match json.loads(body):
            case {
                "message": str(message),
                "status": 400 | 500 as status,
                "param": str() | None as param,
                "code": str() | None as code,
            }:
                return RequestRefused(message, status=status, param=param, code=code)
    except ValueError:
        pass
    raise Nonsense("a refusal that cannot be read")
