"""Every error the node raises on purpose.

NodeError
├── StartRefused      the node does not start: bad model folder, port or data folder in use
├── LoadFailed        the model could not be loaded after the server began to listen
│   └── DeviceFailed  its GPU is not there, or does not work any more
├── OutOfMemory       a GPU has no room, not even for one utterance
├── ModelFailed       the model raised an error
├── OptionRefused     the model cannot do what a request asks of it
├── WorkerEnded       the process that held the model is gone
├── DecoderEnded      the process that decoded an upload is gone
└── RequestRefused    one request is answered with an error in OpenAI's shape
    ├── StreamRefused a WebSocket is closed, after a message that says why
    ├── NotReady      503: no model yet, or no longer
    └── Busy          429: the waiting line is full
"""

from __future__ import annotations

from collections.abc import Mapping


class NodeError(Exception):
    """Root of the tree."""


class StartRefused(NodeError):
    """Says what failed, what still holds and what to do."""


class LoadFailed(NodeError):
    """Says why the model cannot serve."""


class DeviceFailed(LoadFailed):
    """Says which. The process that worked on it is of no more use (CUDA: its context is lost)."""


class OutOfMemory(NodeError):
    """Says on which device."""


class ModelFailed(NodeError):
    """In a worker, for a reason that may hold parts of the audio's text: for the log only."""


class OptionRefused(NodeError):
    """Found only once the model looks at it. The message is for the request's sender."""

    def __init__(self, message: str, option: str) -> None:
        super().__init__(message, option)
        self.message = message
        self.option = option

    def __str__(self) -> str:
        return self.message


class WorkerEnded(NodeError):
    """Says by what."""


class DecoderEnded(NodeError):
    """Says by what."""


class RequestRefused(NodeError):
    """An answer with `status` whose body is OpenAI's error object."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, dict[str, str | None]]:
        return error_body(self.message, self.status, self.param, self.code)


class StreamRefused(RequestRefused):
    """`close_code` is RFC 6455's (section 7.4.1)."""

    def __init__(
        self, message: str, close_code: int, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, param=param, code=code)
        self.close_code = close_code


class NotReady(RequestRefused):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"This node is not ready: {reason}. Retry, or ask another node.",
            status=503,
            code="not_ready",
            headers={"Retry-After": "1"},
        )


class Busy(RequestRefused):
    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"{waiting} requests wait already; nothing of this one was done. Retry later.",
            status=429,
            code="queue_full",
            headers={"Retry-After": "1"},
        )


def error_body(
    message: str, status: int, param: str | None = None, code: str | None = None
) -> dict[str, dict[str, str | None]]:
    """OpenAI's error object; its `type` follows from the HTTP status."""
    match status:
        case 429:
            kind = "rate_limit_error"
        case _ if status >= 500:
            kind = "server_error"
        case _:
            kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
