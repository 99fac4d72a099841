"""The same history in a real PostgreSQL, started for these tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text

from asr_node.history.database import check_url
from asr_node.history.history import HistoryAway
from benchmarks.ports import free_port
from tests.asr_node.history_bench import cursors, entry, opened, until

PASSWORD = "hunter2"


def binary(name: str) -> Path | None:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name)
    return installed[-1] if installed else Path(found) if found else None


pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="PostgreSQL is started by a Unix user"),
    pytest.mark.skipif(binary("initdb") is None, reason="no PostgreSQL here (initdb)"),
    pytest.mark.skipif(find_spec("psycopg") is None, reason="psycopg is not installed"),
]


class Server:
    """One cluster in `folder`. PostgreSQL refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(folder, self._user)
        (folder / "password").write_text(PASSWORD)
        if self._user is not None:
            shutil.chown(folder / "password", self._user)
        self._run("initdb", "-D", f"{folder}/db", "-U", "asr", "-A", "scram-sha-256",
                  f"--pwfile={folder}/password", "-E", "UTF8", "--no-sync")  # fmt: skip

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://asr:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder}"
        self._run("pg_ctl", "-D", f"{self.folder}/db", "-w", "-t", "60", "-l",
                  f"{self.folder}/log", "-o", options, "start")  # fmt: skip

    def stop(self) -> None:
        self._run("pg_ctl", "-D", f"{self.folder}/db", "-w", "-m", "immediate", "stop")

    @property
    def runs(self) -> bool:
        pid = self.folder / "db" / "postmaster.pid"
        return pid.exists() and psutil.pid_exists(int(pid.read_text().split()[0]))

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [str(binary(name)), *arguments],
            user=self._user,
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Server]:
    """Not under pytest's own folder, which the user postgres cannot enter."""
    folder = Path(os.path.realpath("/tmp")) / f"asr-node-postgresql-{os.getpid()}"
    folder.mkdir()
    try:
        server = Server(folder)
        server.start()
        yield server
    finally:
        if "server" in locals() and server.runs:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(cluster: Server) -> Server:
    if not cluster.runs:
        cluster.start()
    engine = create_engine(cluster.url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return cluster


async def test_rows_go_in_and_come_out_as_with_sqlite(server: Server, tmp_path: Path) -> None:
    row = entry(filename="录音\0.wav", parameters={"prompt": "张\0三"})
    async with opened(tmp_path / "postgresql", history_url=server.url) as history:
        await history.record(row)
        (kept,) = await history.page(0, 10)
        assert await history.find(row.id) == kept
    async with opened(tmp_path / "sqlite") as history:
        await history.record(row)
        (same,) = await history.page(0, 10)
    assert kept | {"cursor": 0} == same | {"cursor": 0}


async def test_nodes_share_a_database_and_each_hands_on_its_own_rows(
    server: Server, tmp_path: Path
) -> None:
    async with (
        opened(tmp_path / "1", history_url=server.url, name="n1") as first,
        opened(tmp_path / "2", history_url=server.url, name="n2") as second,
    ):
        await asyncio.gather(
            *(first.record(entry(node="n1")) for _ in range(20)),
            *(second.record(entry(node="n2")) for _ in range(30)),
        )
        assert (len(await cursors(first)), len(await cursors(second))) == (20, 30)


async def test_cursors_are_committed_in_their_order(server: Server, tmp_path: Path) -> None:
    """Whoever reads while several nodes write never sees a cursor and, later, a lower one."""
    async with (
        opened(tmp_path / "1", history_url=server.url, name="n1") as first,
        opened(tmp_path / "2", history_url=server.url, name="n2") as second,
    ):
        await asyncio.gather(first.record(entry()), second.record(entry(node="n2")))
        writing = [
            asyncio.create_task(_write(history, name, 200))
            for history, name in ((first, "n1"), (second, "n2"))
        ]
        seen: list[int] = []
        query = text("SELECT cursor FROM history WHERE cursor > :after ORDER BY cursor")
        while len(seen) < 402:
            after = seen[-1] if seen else 0
            seen += await first.read(
                lambda it, after=after: list(it.execute(query, {"after": after}).scalars())
            )
        await asyncio.gather(*writing)
        assert len(set(seen)) == 402


async def _write(history, name: str, count: int) -> None:
    for _ in range(count):
        await history.record(entry(node=name))


async def test_recognition_goes_on_while_the_server_is_away(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, history_url=server.url) as history:
        await history.record(entry())
        server.stop()
        await history.record(entry())
        await until(lambda: history.degraded)
        await history.record(entry())
        with pytest.raises(HistoryAway) as away:
            await history.page(0, 10)
        server.start()
        await until(lambda: history.degraded is None)
        assert len(await cursors(history)) == 3
    assert PASSWORD not in str(away.value) + caplog.text + repr(caplog.records)
    assert PASSWORD not in " ".join(str(vars(record)) for record in caplog.records)


async def test_a_node_starts_without_its_server_and_writes_when_it_comes(
    server: Server, tmp_path: Path
) -> None:
    server.stop()
    async with opened(tmp_path, history_url=server.url) as history:
        await until(lambda: history.degraded)
        await history.record(entry())
        assert PASSWORD not in (history.degraded or "")
        server.start()
        await until(lambda: history.degraded is None)
        assert len(await cursors(history)) == 1


async def test_batches_work_on_postgresql_too(server: Server, start) -> None:
    from tests.asr_node.node_fakes import encoded, tone

    clip = encoded(tone(0.5))
    async with start(history_url=server.url) as running:
        await running.until_ready()
        files = [("files", (f"{number}.wav", clip)) for number in range(3)]
        answer = await running.client.post("/v1/batches", files=files)
        assert answer.status_code == 202, answer.text
        url = f"/v1/batches/{answer.json()['id']}"
        async with asyncio.timeout(60):
            while not (done := (await running.client.get(url)).json())["finished_time"]:
                await asyncio.sleep(0.01)
        assert done["counts"]["done"] == 3
        exported = (await running.client.get("/v1/history/export?format=json")).json()
        assert len(exported) == 3


def test_the_url_is_accepted() -> None:
    check_url("postgresql+psycopg://asr@127.0.0.1/asr")
