"""Requests that no client should send: seeded, so that a failure can be repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.asr_node.malformed_audio import FILES, any_container, muxed

TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
GRADIO: Final = "/api/predict/"
BATCHES: Final = "/v1/batches"
BOUNDARY: Final = "a-boundary"
FORM: Final = f"multipart/form-data; boundary={BOUNDARY}"

ABSURD: Final = (
    b"",
    b"\x00",
    b"zh\x00en",
    b"\xff\xfe\x00",
    b"\xed\xa0\x80",  # half of a surrogate pair
    b"\xc0\xae\xc0\xae/etc/passwd",
    b"../../../../etc/passwd",
    b"' OR 1=1; DROP TABLE recognitions; --",
    b"%00%n%s{0}{{7*7}}${jndi:ldap://127.0.0.1:9/a}",
    b"NaN",
    b"-1",
    b"1e400",
    b"9" * 5_000,
    b"\xf0\x9f\x92\xa9" * 5_000,
    "\u202e\u0000\ufeff\u2028".encode(),
    b"a" * 70_000,
    b"<script>alert(1)</script>",
    b"line\r\nX-Injected: 1",
)
FIELDS: Final = (
    "model",
    "language",
    "prompt",
    "hotwords",
    "response_format",
    "temperature",
    "stream",
    "itn",
    "timestamp_granularities[]",
    "include[]",
    "chunking_strategy",
    "nobody_knows",
)


@dataclass(frozen=True, slots=True)
class Malformed:
    """`kind` says what is wrong with it."""

    kind: str
    path: str
    content_type: str | None
    body: bytes


Maker = Callable[[Random], Malformed]


def requests(count: int, seed: int) -> Iterator[Malformed]:
    """All kinds in turn, files twice as often as forms."""
    makers = [*FILE_KINDS, *FILE_KINDS, *FORM_KINDS]
    for number in range(count):
        yield makers[number % len(makers)](Random(f"{seed}:{number}"))


def part(name: bytes, value: bytes, filename: bytes | None = None) -> bytes:
    file = b"" if filename is None else b'; filename="' + filename + b'"'
    head = b'Content-Disposition: form-data; name="' + name + b'"' + file
    return b"--" + BOUNDARY.encode() + b"\r\n" + head + b"\r\n\r\n" + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY.encode() + b"--\r\n"


def upload(kind: str, data: bytes) -> Malformed:
    return Malformed(kind, TRANSCRIPTIONS, FORM, form(part(b"file", data, b"clip.wav")))


def _file_kind(name: str) -> Maker:
    return lambda random: upload(name, FILES[name](random))


def wrong_content_type(random: Random) -> Malformed:
    types = (
        None,
        "",
        "application/json",
        "application/x-www-form-urlencoded",
        "audio/wav",
        "multipart/mixed; boundary=a-boundary",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 5_000,
        "multipart/form-data; charset=no-such-charset; boundary=a-boundary",
        "multipart/form-data; charset=utf-16; boundary=a-boundary",
        'multipart/form-data; boundary="a-boundary',
        "MULTIPART/FORM-DATA;;;===;boundary=other",
    )
    body = form(part(b"file", any_container(random), b"clip.wav"), part(b"language", b"zh"))
    return Malformed("content type", TRANSCRIPTIONS, random.choice(types), body)


def wrong_multipart(random: Random) -> Malformed:
    file = part(b"file", muxed("wav"), b"clip.wav")
    whole = form(file)
    bodies = (
        whole[: random.randrange(len(whole))],
        whole.replace(b"\r\n", b"\n"),
        whole.replace(b"Content-Disposition", b"Content-Nonsense"),
        whole.replace(b'name="file"', b"name=file; name*=utf-8''%ff%fe"),
        form(file, file),
        form(part(b"file", b"not a file")),
        form(part(b"", b"", b"")),
        form(*[part(b"model", b"whisper-1")] * 2_000),
        form(*[part(f"field-{n}".encode(), b"x") for n in range(100)]),
        form(part(b"x" * 200_000, b"x")),
        form(part(b"file", part(b"file", muxed("wav"), b"inner.wav"), b"outer.wav")),
        b"--" + BOUNDARY.encode() + b"\r\n" + b"X-Header: y\r\n" * 5_000 + b"\r\nx\r\n",
        b"\r\n" * 10_000 + whole,
        random.randbytes(random.randrange(1, 5_000)),
    )
    return Malformed("multipart", TRANSCRIPTIONS, FORM, random.choice(bodies))


def absurd_fields(random: Random) -> Malformed:
    fields = [
        part(random.choice(FIELDS).encode(), random.choice(ABSURD))
        for _ in range(random.randrange(1, 4))
    ]
    if random.random() < 0.3:
        fields.append(part(random.choice(ABSURD[1:6]), b"x"))
    name = random.choice(
        (b"clip.wav", b"", b"a\x00b.wav", b"\xff.wav", b"../../a.wav", b"x" * 3_000)
    )
    body = form(*fields, part(b"file", muxed("wav"), name))
    return Malformed("fields", TRANSCRIPTIONS, FORM, body)


def twice(random: Random) -> Malformed:
    field = random.choice(FIELDS).encode()
    fields = [part(field, b"json"), part(field, b"text")]
    body = form(*fields, part(b"file", muxed("wav"), b"clip.wav"))
    return Malformed("given twice", TRANSCRIPTIONS, FORM, body)


def gradio(random: Random) -> Malformed:
    paths = ("/etc/passwd", "../../etc/passwd", "a\u0000b", "\ud800", "x" * 10_000, ".", "~", "")
    bodies = (
        json.dumps({"data": [random.choice(paths), "", "zh", True]}),
        json.dumps({"data": [{"path": random.choice(paths), "url": "http://127.0.0.1:9/"}]}),
        json.dumps({"data": [{"name": "a.wav", "data": "data:audio/wav;base64,!!!!"}, "", "", 1]}),
        json.dumps({"data": random.choice((None, {}, 7, "x", [], [[]], [None] * 500))}),
        json.dumps(random.choice((None, [], 1, "data"))),
        "[" * 100_000,
        '{"data":' * 20_000,
        '{"data": [1e999, NaN, -Infinity, ' + "9" * 6_000 + "]}",
        '{"data": ["a", "b"',
        "\ufeff{}",
    )
    data = random.choice(bodies).encode("utf-8", "surrogatepass")
    return Malformed("gradio", GRADIO, "application/json", data)


def batch(random: Random) -> Malformed:
    names = (b"a.wav", b"../a.wav", b"\xff\x00", b"", b"x" * 1_000)
    makers = [FILES[name] for name in ("truncated", "something_else", "without_samples")]
    files = [
        part(b"files", random.choice(makers)(random), random.choice(names))
        for _ in range(random.randrange(0, 4))
    ]
    fields = [part(random.choice(FIELDS).encode(), random.choice(ABSURD))] * random.randrange(2)
    return Malformed("batch", BATCHES, FORM, form(*fields, *files))


FILE_KINDS: Final[tuple[Maker, ...]] = tuple(map(_file_kind, FILES))
FORM_KINDS: Final[tuple[Maker, ...]] = (
    wrong_content_type,
    wrong_multipart,
    absurd_fields,
    twice,
    gradio,
    batch,
)
