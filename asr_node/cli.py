"""asr-node: one speech node, in the foreground."""

from __future__ import annotations

import argparse
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from asr_node import log
from asr_node.data_dir import held
from asr_node.errors import StartRefused
from asr_node.history.database import check_url
from asr_node.recognizers import check_models
from asr_node.settings import DEVICE, NAME, Settings

BACKLOG: Final = 2048
HISTORY_URL: Final = "ASR_NODE_HISTORY_URL"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 after SIGTERM; 1 refused or failed; 2 wrong usage (argparse exits)."""
    settings = read_arguments(arguments)
    log.configure()
    try:
        check_models(settings)
        check_url(settings.history_url)
        with held(settings.data_dir), bind(settings.host, settings.port) as listening:
            status = _serve(settings, listening)
    except StartRefused as error:
        print(f"asr-node: {error}", file=sys.stderr)
        return 1
    from asr_node.server import leave

    leave(status)
    return status


def _serve(settings: Settings, listening: socket.socket) -> int:
    """The heavy imports come after everything that can be refused."""
    from asr_node.node import Node
    from asr_node.server import serve

    return serve(Node(settings), listening)


def read_arguments(arguments: Sequence[str] | None) -> Settings:
    parsed = _parser().parse_args(arguments)
    values = vars(parsed)
    if values["data_dir"] is None:
        values["data_dir"] = Path(".asr-rollout") / "nodes" / parsed.name
    values["history_url"] = values["history_url"] or os.environ.get(HISTORY_URL) or None
    return Settings(**values)


def bind(host: str, port: int) -> socket.socket:
    """Listening already: two sockets may bind one address, only one can listen.

    Raises StartRefused where the address is taken."""
    try:
        listening = _listen(host, port)
    except OSError as error:
        raise StartRefused(
            f"cannot listen on {host}:{port}: {error.strerror}; whoever holds it goes on, nothing "
            "was started. Give another --host or --port (0 picks a free one)."
        ) from error
    if not ip_address(listening.getsockname()[0]).is_loopback:
        log.event(
            "host.exposed",
            level=logging.WARNING,
            host=host,
            reason="keep it behind the router, or ask its clients for keys: --api-keys-file",
        )
    return listening


def _listen(host: str, port: int) -> socket.socket:
    """With the protocol left at 0 asyncio would not set TCP_NODELAY: 40 ms on each answer."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="asr-node",
        description="Serve one FunASR model. SIGTERM drains and stops it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", required=True, help="model folder, or hub id (iic/SenseVoiceSmall)")
    add("--engine", default="funasr", help="funasr, faster-whisper, or module:Class")
    add("--version", type=_name, required=True, help="name of the version it serves")
    add("--name", type=_name, default="local", help="name of this node")
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=_port, default=8100, help="port to listen on; 0 picks a free one")
    add(
        "--device",
        type=_device,
        default="auto",
        help="auto (a GPU if there is one), cpu, cuda:0, mps",
    )
    add("--data-dir", type=Path, help="the node's own folder (.asr-rollout/nodes/NAME)")
    add("--vad-model", default="silero-vad", help="cuts long audio: silero-vad, folder or hub id")
    add("--punc-model", help="folder or hub id: adds punctuation")
    add("--revision", help="revision of a hub id given as --model")
    add("--language", default="auto", help="language where a request names none")
    add("--itn", action=argparse.BooleanOptionalAction, default=True, help="numbers as digits")
    add("--hotwords", type=_lines, default=(), metavar="FILE", help="words to expect, one a line")
    _add_workers(add)
    add("--max-body-bytes", type=_positive, default=512 * 1024**2, help="larger uploads: 413")
    add("--max-duration-seconds", type=_seconds, default=14_400.0, help="longer audio: 400")
    add("--idle-timeout-seconds", type=_seconds, default=60.0, help="a silent sender: 408")
    add("--max-streams", type=_positive, default=32, help="WebSockets at once; more: 1013, 503")
    add("--upload-dir", type=Path, help="folder whose files /api/predict may name (none: refused)")
    add("--api-keys-file", type=Path, help="one key a line; without it everybody may ask")
    add("--admin-token-file", type=Path, help="secret of /admin (DATA_DIR/admin.token, made)")
    add("--grace-seconds", type=_positive, default=30, help="time to finish after SIGTERM")
    _add_history(add)
    return parser


def _add_workers(add: Callable[..., object]) -> None:
    add(
        "--workers",
        type=_positive,
        default=1,
        help="processes that each hold the model; more answer more at once, and cost its memory "
        "each",
    )
    add("--threads", type=_positive, default=1, help="CPU threads of each worker")
    add(
        "--on-oom",
        choices=["cpu", "ask", "fail"],
        default="cpu",
        help="when a GPU has no memory left for one utterance: go on with the CPU (slower, and "
        "/readyz says degraded), hold all work until POST /admin/device says where to go on, or "
        "refuse the requests and be not ready",
    )
    add(
        "--recycle-after",
        type=_count,
        default=0,
        metavar="UTTERANCES",
        help="replace a worker after so many; 0 never",
    )
    add(
        "--recycle-memory-mb",
        type=_count,
        default=0,
        metavar="MB",
        help="replace a worker whose resident memory grows beyond that; 0 never",
    )


def _add_history(add: Callable[..., object]) -> None:
    add(
        "--history-url",
        help="keep the history in PostgreSQL (postgresql+psycopg://USER:PASSWORD@HOST/DATABASE) "
        "instead of a SQLite file in the data folder; better given as the environment variable "
        f"{HISTORY_URL}, where no other user of this machine can read its password",
    )
    add("--history-days", type=_count, default=0, help="remove older rows; 0 keeps all")
    add(
        "--backup-every",
        type=_hours,
        default=24.0,
        metavar="HOURS",
        dest="backup_every_hours",
        help="copy the SQLite history into backups/ of the data folder; 0 never",
    )
    add("--backup-keep", type=_positive, default=7, help="so many backups, the newest ones")
    add("--keep-audio", action="store_true", help="keep every recording in the data folder")
    add(
        "--keep-audio-quota-mb",
        type=_positive,
        default=10_000,
        help="room for kept recordings; the oldest are removed first",
    )
    add("--batch-files", type=_positive, default=50, help="most files of one batch")
    add("--batch-days", type=_positive, default=7, help="remove finished batches after so long")
    add(
        "--min-free-mb",
        type=_count,
        default=256,
        help="refuse batches that would leave less room than that on the data folder's disk",
    )


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} does not match {NAME.pattern}")
    return text


def _device(text: str) -> str:
    if not DEVICE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not auto, cpu, cuda:N or mps")
    return text


def _lines(path: str) -> tuple[str, ...]:
    """The lines that say something. UTF-8, with or without a byte order mark."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read ({error})") from error
    return tuple(line.strip() for line in lines if line.strip())


def _port(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _hours(text: str) -> float:
    return 0.0 if text == "0" else _seconds(text)


def _positive(text: str) -> int:
    if not re.fullmatch(r"\d{1,12}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
