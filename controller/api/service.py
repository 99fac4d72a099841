"""Adapters put into the engine, and what the API asks of both."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from controller.adapters.batch_folder import BatchFolder
from controller.adapters.eval_sets import read_eval_set
from controller.adapters.fleet_file import FleetFile, locate_model, read_fleet
from controller.adapters.model_files import check_models, local_digest
from controller.adapters.nginx.router_log import RouterLog
from controller.adapters.node_http import NodeHttpClient
from controller.adapters.notifications import AppriseMessenger
from controller.adapters.plan_files import load_plan
from controller.adapters.review_audio import ReviewAudio
from controller.adapters.spool_folder import SpoolFolder
from controller.adapters.spool_sender import SpoolSender
from controller.adapters.state_folder import StateFolder
from controller.adapters.store import SqlStore
from controller.api.batches import BatchDesk
from controller.api.evaluations import Evaluations
from controller.api.runtimes import RuntimeParts, choose_runtime
from controller.api.status import status
from controller.core.errors import Refused
from controller.core.eval_set import EvalSet
from controller.core.plan import Plan
from controller.core.plan_eval_sets import check_plan
from controller.core.version import Version
from controller.drills.keeper import DrillKeeper
from controller.engine.batches import BatchKeeper
from controller.engine.copies_review import CopiesReview
from controller.engine.loop import Loop
from controller.engine.measures import Timing
from controller.engine.notify import Notifier
from controller.engine.ports import Ports
from controller.engine.records import Event
from controller.engine.spool import SpoolKeeper, serving_addresses
from controller.resources import rollouts_dir
from controller.settings import Settings

log = logging.getLogger(__name__)
_PLAN: Final = TypeAdapter(Plan)
_LARGEST_LOG_BYTES: Final = 256 * 1024 * 1024  # twice two files of that size are kept


@dataclass(slots=True)
class Service:
    """One controller: its loop, its adapters, and the requests of the API to them."""

    settings: Settings
    fleet: FleetFile
    folder: StateFolder
    store: SqlStore
    parts: RuntimeParts
    client: NodeHttpClient
    loop: Loop
    stop: Callable[[], None]
    lag: Timing = field(default_factory=Timing)  # of the event loop
    evaluations: Evaluations = field(init=False)
    notifier: Notifier = field(init=False)
    recordings: ReviewAudio = field(init=False)
    copies: CopiesReview = field(init=False)
    spool_folder: SpoolFolder = field(init=False)
    spool: SpoolKeeper = field(init=False)
    drills: DrillKeeper = field(init=False)
    batch_results: BatchFolder = field(init=False)

    def __post_init__(self) -> None:
        self.evaluations = Evaluations(self.loop)
        review = self.fleet.review
        self.recordings = ReviewAudio(self.folder.path)
        self.copies = CopiesReview(
            self.loop.review,
            self.store,
            self.recordings,
            review.keep_audio_days if review.keep_audio else None,
            utc_now,
        )
        config, targets = self.fleet.config, self.fleet.notifications
        self.notifier = Notifier(config.service, targets, self.store, AppriseMessenger(), utc_now)
        self.spool_folder = SpoolFolder(self.folder.path / "spool", self.fleet.spool, utc_now)
        self.spool = SpoolKeeper(
            self.spool_folder,
            SpoolSender(self.fleet.api_keys.own),
            lambda: serving_addresses(self.loop.desired(), self.loop.observer.views().values()),
            self.loop.jobs,
            self.store,
            utc_now,
        )
        self.batch_results = BatchFolder(self.folder.path / "batches", utc_now)
        self.loop.keeper.batches_over = BatchKeeper(self.client, self.batch_results).over
        self.drills = DrillKeeper(
            self.folder, config.service, self.fleet.drills, self.status, self.store, utc_now
        )

    def status(self) -> dict[str, Any]:
        state = status(self.loop, self.loop.router_state(), self.parts.runtime.name)
        return state | {"spool": self.spool.summary()}

    def batch_desk(self) -> BatchDesk:
        def address_of(name: str) -> str | None:
            node = self.loop.observer.nodes.get(name)
            return node.address if node is not None and node.running else None

        def is_expected(name: str) -> bool:
            return self.loop.desired().wants(name)

        return BatchDesk(self.fleet.api_keys, self.batch_results, address_of, is_expected)

    def versions_summary(self) -> list[dict[str, Any]]:
        fleet, digests = self.loop.fleet, self.loop.observer.digests
        return [
            {
                "name": version.name,
                "models": version.models,
                "digest": digests.get(version.name),
                "options": version.options,
                "stable": version.name == fleet.stable,
                "bad": version.name in fleet.bad,
            }
            for version in self.loop.versions.values()
        ]

    async def plan(self, name: str, percent: float | None) -> dict[str, Any]:
        """The plan as the intent carries it, checked against the eval sets that it needs."""
        return await asyncio.to_thread(self._plan, name, percent)

    def _plan(self, name: str, percent: float | None) -> dict[str, Any]:
        plan = load_plan(name, self.plan_dirs())
        if percent is not None:
            plan = plan.starting_at(percent)
        check_plan(plan, self.eval_set)
        dumped: dict[str, Any] = _PLAN.dump_python(plan, mode="json")
        return dumped

    def plan_dirs(self) -> list[Path]:
        own = [self.fleet.plans_dir] if self.fleet.plans_dir is not None else []
        return [*own, rollouts_dir()]

    def eval_set(self, name: str) -> EvalSet:
        return read_eval_set(self.fleet.eval_sets_dir, name)

    async def add_version(self, values: dict[str, Any], actor: str) -> str:
        """Add a version under a new name. Adding the same again changes nothing."""
        base = self.settings.fleet_path.absolute().parent
        for role in ("model", "vad_model", "punc_model"):
            if values[role]:
                values[role] = locate_model(values[role], base)
        version = Version(**values)
        known = self.loop.versions.get(version.name)
        if known is not None and known != version:
            raise Refused(
                f"version {version.name} exists with another content, and versions never change; "
                f"nothing was added. Choose a new name"
            )
        digest = await asyncio.to_thread(register, version, self.store, actor)
        self.loop.learn(version, digest)
        if known is not None:
            return f"{version.name} is known already, with the same content; nothing was added"
        return f"version {version.name} added; `rollout start {version.name}` rolls it out"

    async def rotate_logs(self) -> None:
        """Begin a new log file of the router where the old one has grown large."""
        await self.parts.router.rotate_logs(_LARGEST_LOG_BYTES)

    async def expire_batches(self) -> None:
        """Remove results of batches that have been kept for long."""
        await asyncio.to_thread(self.batch_results.expire)

    async def hand_out_keys(self) -> None:
        """Give running nodes the API keys of the fleet's file as they are now."""
        await asyncio.to_thread(self.fleet.api_keys.hand_out, self.folder.path / "nodes")

    async def tear_down(self) -> None:
        """Stop router, then nodes; release everything."""
        await self.notifier.close()
        await self.parts.tear_down()
        await self.client.close()
        await asyncio.to_thread(self.store.close)


def build_service(settings: Settings, stop: Callable[[], None]) -> Service:
    """Check everything that can be wrong, then put the parts together. Starts nothing."""
    fleet = read_fleet(settings.fleet_path)
    folder = StateFolder(settings.state_dir)
    parts = choose_runtime(settings, fleet, folder)
    store = SqlStore.in_folder(folder.path)
    versions = merged_versions(fleet, store)
    client = NodeHttpClient(fleet.api_keys.own)
    access_log = RouterLog(folder.router_dir / "access.log")

    def eval_set(name: str) -> EvalSet:
        return read_eval_set(fleet.eval_sets_dir, name)

    if fleet.config.golden is not None:
        eval_set(fleet.config.golden.eval_set)  # must be there and in order
    ports = Ports(store, parts.runtime, parts.router, client, access_log, eval_set, utc_now)
    loop = Loop(fleet.config, versions, ports)
    return Service(settings, fleet, folder, store, parts, client, loop, stop)


def merged_versions(fleet: FleetFile, store: SqlStore) -> dict[str, Version]:
    """The versions of fleet.yaml and those added before; each with its digest pinned."""
    saved = store.load()
    for version in fleet.config.versions.values():
        register(version, store, "fleet.yaml")
    added = {n: v for n, v in saved.versions.items() if n not in fleet.config.versions}
    return dict(fleet.config.versions) | added


def register(version: Version, store: SqlStore, actor: str) -> str | None:
    """Pin the digest of a version with local models. Raises Refused where its files changed."""
    check_models(version, f"versions.{version.name}")
    saved = store.load()
    pinned, digest = saved.digests.get(version.name), local_digest(version)
    if pinned is not None and digest is not None and pinned != digest:
        raise Refused(
            f"versions.{version.name}: its files or options changed since it was added (digest "
            f"{digest[:12]}, was {pinned[:12]}), and versions never change; nothing was started. "
            f"Put the old files back, or give the new ones a new name"
        )
    known = saved.versions.get(version.name)
    if known == version and pinned == (digest or pinned):
        return pinned
    if known is not None and not _is_same(known, version, digest):
        raise Refused(
            f"versions.{version.name}: its model, revision, options or image is not what it was "
            f"when it was added, and versions never change; nothing was started. Choose a new name"
        )
    digest = digest or pinned
    message = f"{version.name} is {version.model}" + (f", digest {digest[:12]}" if digest else "")
    store.save_version(
        version, digest, Event("version.added", version.name, message, actor, utc_now())
    )
    return digest


def _is_same(known: Version, version: Version, digest: str | None) -> bool:
    """Whether two descriptions mean the same: a folder may move, its files may not change."""
    if digest is None:
        return known == version
    return (known.options, known.image, known.revision) == (
        version.options,
        version.image,
        version.revision,
    )


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
