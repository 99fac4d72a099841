"""The options of asr-node, in groups that a newcomer can read."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from asr_node.settings import DEVICE, NAME

HISTORY_URL: Final = "ASR_NODE_HISTORY_URL"
EPILOG: Final = """
examples:
  asr-node --model models/demo-v2                       a folder, on http://127.0.0.1:8100
  asr-node --model iic/SenseVoiceSmall --device cuda:0  a model from a hub, on a GPU
  curl -F file=@clip.wav http://127.0.0.1:8100/v1/audio/transcriptions

SIGTERM or Ctrl-C finishes what has begun and ends the node. All about it: docs/node.md
"""

Add = Callable[..., object]


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Says a default only where there is one to say."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, (), False, argparse.SUPPRESS):
            return action.help
        return super()._get_help_string(action)


def parser() -> argparse.ArgumentParser:
    """Abbreviations are refused: a later option could change what they mean."""
    made = argparse.ArgumentParser(
        prog="asr-node",
        description="Serve one speech-recognition model over HTTP and WebSocket.",
        epilog=EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    for title, add_options in GROUPS.items():
        add_options(made.add_argument_group(title).add_argument)
    return made


def _model(add: Add) -> None:
    add(
        "--model",
        type=_source,
        required=True,
        metavar="FOLDER_OR_ID",
        help="folder with the model's files, or its id at a hub, which is downloaded once",
    )
    add(
        "--version",
        type=_name,
        metavar="NAME",
        help="name of what is served, which every answer carries (default: after --model)",
    )
    add(
        "--engine",
        default="funasr",
        help="what runs the model: funasr, faster-whisper, or module:Class of your own",
    )
    add("--revision", help="revision of a hub id given as --model")
    add(
        "--vad-model",
        type=_source,
        default="silero-vad",
        metavar="FOLDER_OR_ID",
        help="finds the silences where long recordings are cut",
    )
    add(
        "--punc-model",
        type=_source,
        metavar="FOLDER_OR_ID",
        help="adds punctuation to a model without any",
    )


def _text(add: Add) -> None:
    add("--language", default="auto", help="language where a request names none")
    add(
        "--itn",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write numbers as digits where a request does not say",
    )
    add(
        "--hotwords",
        type=_lines,
        default=(),
        metavar="FILE",
        help="words to expect, one a line, where a request brings none",
    )


def _place(add: Add) -> None:
    add("--name", type=_name, default="local", help="name of this node, in every answer")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 lets other machines ask (see --api-keys-file)",
    )
    add("--port", type=_port, default=8100, help="port to listen on; 0 picks a free one")
    add(
        "--data-dir",
        type=Path,
        metavar="FOLDER",
        help="the node's own folder: history, batches, backups (default: .asr-rollout/nodes/NAME)",
    )


def _compute(add: Add) -> None:
    add(
        "--device",
        type=_device,
        default="auto",
        help="cpu, cuda:0, cuda:1 …, mps; auto takes a GPU if there is one",
    )
    add(
        "--workers",
        type=_positive,
        default=1,
        metavar="COUNT",
        help="processes that each hold the model; more answer more at once, and cost its memory "
        "each",
    )
    add("--threads", type=_positive, default=1, metavar="COUNT", help="CPU threads of each worker")
    add(
        "--on-oom",
        choices=["cpu", "ask", "fail"],
        default="cpu",
        help="when a GPU has no memory left for one utterance: go on with the CPU (slower, and "
        "/readyz says degraded), hold all work until POST /admin/device says where to go on, or "
        "refuse the requests and be not ready; with cpu also where a GPU that served is gone",
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


def _limits(add: Add) -> None:
    add(
        "--max-body-bytes",
        type=_positive,
        default=512 * 1024**2,
        metavar="BYTES",
        help="larger uploads are refused (413) before they are read",
    )
    add(
        "--max-duration-seconds",
        type=_seconds,
        default=14_400.0,
        metavar="SECONDS",
        help="longer recordings are refused (400)",
    )
    add(
        "--idle-timeout-seconds",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="a sender that is silent for so long is cut off (408)",
    )
    add(
        "--max-streams",
        type=_positive,
        default=32,
        metavar="COUNT",
        help="WebSockets at once; more are turned away (1013, or 503 to a router)",
    )
    add(
        "--grace-seconds",
        type=_positive,
        default=30,
        metavar="SECONDS",
        help="time to finish what has begun after SIGTERM",
    )


def _access(add: Add) -> None:
    add(
        "--api-keys-file",
        type=Path,
        metavar="FILE",
        help="one key a line; without it everybody who reaches the port may ask",
    )
    add(
        "--admin-token-file",
        type=Path,
        metavar="FILE",
        help="secret of /admin (default: admin.token in the data folder, made at the start)",
    )
    add(
        "--upload-dir",
        type=Path,
        metavar="FOLDER",
        help="folder whose files /api/predict may name; without it paths are refused",
    )


def _history(add: Add) -> None:
    add(
        "--history-url",
        metavar="URL",
        help="keep the history in PostgreSQL (postgresql+psycopg://USER:PASSWORD@HOST/DATABASE) "
        "instead of a SQLite file in the data folder; better given as the environment variable "
        f"{HISTORY_URL}, where no other user of this machine can read its password",
    )
    add(
        "--history-days",
        type=_count,
        default=0,
        metavar="DAYS",
        help="remove older rows; 0 keeps all",
    )
    add(
        "--backup-every",
        type=_hours,
        default=24.0,
        metavar="HOURS",
        dest="backup_every_hours",
        help="copy the SQLite history into backups/ of the data folder; 0 never",
    )
    add(
        "--backup-keep",
        type=_positive,
        default=7,
        metavar="COUNT",
        help="so many backups, the newest ones",
    )
    add("--keep-audio", action="store_true", help="keep every recording in the data folder")
    add(
        "--keep-copies",
        action="store_true",
        help="keep the recordings of copied requests (X-ASR-Shadow), and no others",
    )
    add(
        "--keep-audio-quota-mb",
        type=_positive,
        default=10_000,
        metavar="MB",
        help="room for kept recordings; the oldest are removed first",
    )
    add(
        "--batch-files",
        type=_positive,
        default=50,
        metavar="COUNT",
        help="most files of one batch",
    )
    add(
        "--batch-days",
        type=_positive,
        default=7,
        metavar="DAYS",
        help="remove finished batches after so long",
    )
    add(
        "--min-free-mb",
        type=_count,
        default=256,
        metavar="MB",
        help="refuse batches that would leave less room than that on the data folder's disk",
    )


GROUPS: Final[dict[str, Callable[[Add], None]]] = {
    "the model": _model,
    "its text": _text,
    "this node": _place,
    "processor and memory": _compute,
    "limits": _limits,
    "who may ask": _access,
    "history, batches, backups": _history,
}


def version_of(model: str) -> str:
    """A version's name for a model that was given none: the last part of its folder or id."""
    name = re.sub(r"[^a-z0-9._-]+", "-", Path(model).name.lower()).strip("-._")[:63]
    return name if NAME.fullmatch(name) else "local"


def _source(text: str) -> str:
    """An empty one, of a variable that is not set, would name the working directory."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; give a folder, or an id at a hub")
    return text


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
