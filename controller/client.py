"""Talks to the controller of a state folder over HTTP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from controller.adapters.state_folder import StateFolder
from controller.user import user_name


class Unreachable(Exception):
    """No controller answers. A router that it left goes on serving without it."""


class Rejected(Exception):
    """The controller refused or failed; the message says what still holds."""


class Client:
    """`state_dir` names the controller; ASR_ROLLOUT_URL and ASR_ROLLOUT_TOKEN_FILE override."""

    def __init__(self, state_dir: Path, environment: Mapping[str, str] = os.environ) -> None:
        folder = StateFolder(state_dir)
        address = folder.address()
        self.url = environment.get("ASR_ROLLOUT_URL") or (address.url if address else None)
        token_file = environment.get("ASR_ROLLOUT_TOKEN_FILE")
        self._token_path = Path(token_file) if token_file else folder.path / "api.token"
        self._state_dir = folder.path

    def get(self, path: str, **query: Any) -> Any:
        return self._request("GET", path, params=query)

    def text(self, path: str, **query: Any) -> str:
        """An answer that is no JSON, such as a report."""
        response = self._ask("GET", path, params=query)
        return response.text if response.is_success else str(_result(response))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._request("POST", path, json={"actor": user_name(), **body})

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        return _result(self._ask(method, path, **arguments))

    def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if self.url is None:
            raise Unreachable(
                f"there is no controller in {self._state_dir}; `rollout up` starts one"
            )
        try:
            return httpx.request(
                method,
                self.url + path,
                headers=self._headers(),
                timeout=30,
                trust_env=False,
                **arguments,
            )
        except httpx.HTTPError as error:
            raise Unreachable(
                f"the controller at {self.url} does not answer ({error}); its router, if it "
                f"still runs, serves on without it. `rollout up` starts the controller again, "
                f"`rollback` works without it"
            ) from error

    def _headers(self) -> dict[str, str]:
        try:
            return {"Authorization": f"Bearer {self._token_path.read_text().strip()}"}
        except OSError:
            return {}


def _result(response: httpx.Response) -> Any:
    try:
        body = response.json()
    except ValueError as error:
        raise Rejected(f"{response.url}: {response.status_code} {response.text[:200]}") from error
    if response.is_error:
        raise Rejected(str(body.get("detail", body)))
    return body
