"""A transcription in the shapes that OpenAI's API knows."""

from __future__ import annotations

import zlib

from fastapi import Response
from fastapi.responses import JSONResponse, PlainTextResponse

from asr_node.node import Node
from asr_node.protocols.subtitles import srt, vtt
from asr_node.protocols.transcription_request import (
    Granularity,
    ResponseFormat,
    TranscriptionRequest,
)
from asr_node.recognition import Segment
from asr_node.transcriber import Transcribed


def answer(
    asked: TranscriptionRequest, done: Transcribed, provenance: dict[str, str | None]
) -> Response:
    recognition = done.recognition
    match asked.response_format:
        case ResponseFormat.JSON:
            return JSONResponse({"text": recognition.text})
        case ResponseFormat.TEXT:
            return PlainTextResponse(recognition.text)
        case ResponseFormat.SRT:
            return PlainTextResponse(srt(recognition.segments), media_type="application/x-subrip")
        case ResponseFormat.VTT:
            return PlainTextResponse(vtt(recognition.segments), media_type="text/vtt")
        case ResponseFormat.VERBOSE_JSON:
            return JSONResponse(_verbose(asked, done) | {"asr": provenance})


def measures(done: Transcribed) -> dict[str, str]:
    """What a router logs, to compare versions by what they serve: headers of an answer that was
    worked for, never of a replayed one. 0 characters is an answer without any text."""
    return {
        "X-ASR-Audio-Seconds": f"{done.duration_seconds:.3f}",
        "X-ASR-Model-Seconds": f"{done.recognition.seconds:.3f}",
        "X-ASR-Characters": str(len(done.recognition.text.strip())),
    }


def provenance(node: Node, request_id: str) -> dict[str, str | None]:
    """Who made an answer, for bodies that are kept without their headers."""
    return {
        "version": node.settings.version,
        "digest": node.digest,
        "node": node.settings.name,
        "request_id": request_id,
    }


def _verbose(asked: TranscriptionRequest, done: Transcribed) -> dict[str, object]:
    recognition = done.recognition
    seconds = round(done.duration_seconds, 3)
    body: dict[str, object] = {
        "task": "transcribe",
        "language": recognition.language or asked.recording.options.language,
        "duration": seconds,
        "text": recognition.text,
        "usage": {"type": "duration", "seconds": seconds},
    }
    if Granularity.SEGMENT in asked.granularities:
        body["segments"] = [_segment(i, part) for i, part in enumerate(recognition.segments)]
    if Granularity.WORD in asked.granularities:
        body["words"] = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
            for segment in recognition.segments
            for word in segment.words
        ]
    return body


def _segment(number: int, segment: Segment) -> dict[str, object]:
    """Without avg_logprob, no_speech_prob and tokens: no engine here tells them, and a made-up
    number would be taken for one."""
    return {
        "id": number,
        "seek": round(segment.start * 100),  # Whisper counts in hundredths of a second
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "temperature": 0.0,
        "compression_ratio": _compression_ratio(segment.text),
    }


def _compression_ratio(text: str) -> float:
    """As Whisper defines it; a high one means that the model repeats itself."""
    plain = text.encode()
    return round(len(plain) / len(zlib.compress(plain)), 3)
