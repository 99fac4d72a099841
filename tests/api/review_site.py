"""The review over HTTP: a real store and real audio files, the loop's own review, no nodes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import httpx
from fastapi import FastAPI

from controller.adapters.review_audio import ReviewAudio
from controller.adapters.state_folder import StateFolder
from controller.adapters.store import SqlStore
from controller.api.access import access_check
from controller.api.problems import add_problem_handlers
from controller.api.review_page import add_review
from controller.core.eval_set import EvalSet, Utterance
from controller.engine.copies_review import CopiesReview
from controller.engine.gates import Evaluator
from controller.engine.records import Evaluation, Event
from controller.engine.review import Review
from tests.core.rollouts import NOON, a_rollout

ENTRY = Event("evaluation.finished", "v1", "heard", "controller", NOON)
HOST = "http://127.0.0.1:8090"
ORIGIN = {"Origin": HOST}
FORM = "application/x-www-form-urlencoded"
TOKEN = {"Authorization": "Bearer token"}


class Site:
    """What the tests reach: the store, the server, and browsers."""

    def __init__(self, folder: Path) -> None:
        self.folder = StateFolder(folder)
        self.store = SqlStore.in_folder(folder)
        self.sets = folder / "eval_sets"
        (self.sets / "digits").mkdir(parents=True)
        keys = [f"u{n}" for n in range(20)]
        for key in keys:
            (self.sets / "digits" / f"{key}.wav").write_bytes(f"RIFF {key} {'.' * 100}".encode())
        eval_set = EvalSet(
            "digits",
            tuple(Utterance(k, str(self.sets / "digits" / f"{k}.wav"), "一零零八六") for k in keys),
            "e" * 64,
        )
        for version, text in (("v1", "拨打一零零八六"), ("v2", "拨打10086 <b>")):
            heard = dict.fromkeys(keys, text)
            evaluation = Evaluation(version, version * 32, "digits", "e" * 64, NOON, heard)
            self.store.save_evaluation(evaluation, ENTRY)
        self.store.save([], None, a_rollout())
        digests = {"v1": "v1" * 32, "v2": "v2" * 32}
        evaluator = Evaluator(self.store, None, lambda _: (), digests, lambda _: eval_set)  # type: ignore[arg-type]
        self.review = Review(self.store.reviews, evaluator, lambda: NOON, lambda: None)
        (folder / "api.token").write_text("token")
        self.app = FastAPI()
        self.app.state.service = SimpleNamespace(
            store=self.store,
            folder=self.folder,
            loop=SimpleNamespace(review=self.review, rollout=a_rollout()),
            fleet=SimpleNamespace(eval_sets_dir=self.sets),
            recordings=ReviewAudio(folder),
            copies=CopiesReview(self.review, self.store, ReviewAudio(folder), None, lambda: NOON),
        )
        self.app.middleware("http")(access_check("token", "127.0.0.1"))
        add_problem_handlers(self.app)
        add_review(self.app)

    def browser(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app), base_url=HOST, follow_redirects=True
        )

    def program(self) -> httpx.AsyncClient:
        client = self.browser()
        client.headers.update(TOKEN)
        return client

    async def invited(self, rater: str = "ann") -> httpx.AsyncClient:
        """A browser that followed this rater's link."""
        browser = self.browser()
        answer = await browser.post("/api/review/raters", json={"rater": rater}, headers=TOKEN)
        page = await browser.get(answer.json()["path"])
        assert page.status_code == 200
        return browser
