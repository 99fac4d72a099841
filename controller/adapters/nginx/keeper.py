"""PID 1 of the router's container: holds the port and runs nginx on it, so that connections wait in
the kernel's queue, instead of being refused, while a killed nginx is started again.

    python3 -m controller.adapters.nginx.keeper ADDRESS PORT SOCKET /usr/sbin/nginx ARGUMENTS…

SOCKET is the name that nginx's control socket begins with: one that a killed nginx left would keep
the next one from starting. The image holds this file and held_port.py and nothing else of ours:
standard library only.

HUP and USR1 are nginx's; QUIT, TERM and INT end it, and with it this; USR2 replaces it: the next
one serves while the requests of the one before still end. An nginx that ends by itself ends this
with its status, and Docker starts the container again, with pauses that grow."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controller.adapters.nginx.held_port import HeldPort

_HANDED_ON: Final = frozenset({signal.SIGHUP, signal.SIGUSR1})
_END: Final = frozenset({signal.SIGQUIT, signal.SIGTERM, signal.SIGINT})
_HEARD: Final = _HANDED_ON | _END | {signal.SIGUSR2, signal.SIGCHLD}
_LET_GO_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.01
_SHORT_SECONDS: Final = 1.0
_SHORT_LIVES: Final = 5  # in a row; then it is left to Docker, which waits between starts


class Keeper:
    """Of the nginx that `command` starts; it must not go to the background."""

    def __init__(self, command: Sequence[str], held: HeldPort, begun_socket: Path) -> None:
        self._command = list(command)
        self._held = held
        self._begun_socket = begun_socket
        self._nginx = 0
        self._ended: int | None = None  # as waitstatus_to_exitcode has it
        self._groups: set[int] = set()  # masters with their workers, which may outlive them
        self._began = 0.0
        self._short_lives = 0
        self._is_to_end = False

    def run(self) -> int:
        """Until nginx has ended; its exit status, or 128 and the signal that ended it.

        Signals are waited for, as tini does it: PID 1 loses those that it neither blocks nor
        handles. nginx inherits them blocked and hears them once it can: a HUP does not end it
        while it starts. Raises OSError where there is no such program."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        self._start()
        while not self._is_over():
            self._hear(signal.Signals(signal.sigwait(_HEARD)))
        status = self._ended or 0
        return status if status >= 0 else 128 - status

    def _start(self) -> None:
        self._begun_socket.unlink(missing_ok=True)
        descriptors, environment = self._held.open()
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        self._began = time.monotonic()
        self._ended = None
        self._nginx = os.posix_spawn(
            self._command[0], self._command, {**os.environ, **environment}, setpgroup=0
        )
        self._groups.add(self._nginx)

    def _hear(self, sign: signal.Signals) -> None:
        if sign in _END:
            self._is_to_end = True
            self._held.close()  # first: who is queued now would be answered by nobody
            self._tell_all(sign)
        elif self._is_to_end or sign is signal.SIGCHLD:
            return
        elif sign is signal.SIGUSR2:
            self._tell_all(signal.SIGQUIT)
            self._wait_until_it_let_go()
            self._start()
        else:
            os.kill(self._nginx, sign)

    def _wait_until_it_let_go(self) -> None:
        """nginx deletes the name of its control socket with its ports: not the next one's."""
        held = {f"socket:[{os.fstat(descriptor).st_ino}]" for descriptor in self._held.open()[0]}
        deadline = time.monotonic() + _LET_GO_SECONDS
        while held & _open_files(self._nginx) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _tell_all(self, sign: signal.Signals) -> None:
        for group in tuple(self._groups):
            try:
                os.killpg(group, sign)
            except ProcessLookupError:
                self._groups.remove(group)

    def _is_over(self) -> bool:
        """An nginx that was killed is started again."""
        is_somebody_left = self._reap()
        if self._is_to_end:
            return not is_somebody_left
        if self._ended is None:
            return False
        if self._ended >= 0 or self._is_hopeless():
            return True
        _say(f"nginx was ended by signal {-self._ended}; it is started again")
        self._tell_all(signal.SIGQUIT)  # workers that lost their master end what is in flight
        self._start()
        return False

    def _reap(self) -> bool:
        """Whether there are children left."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if ended[0] == self._nginx:
                    self._ended = os.waitstatus_to_exitcode(ended[1])
        except ChildProcessError:
            return False
        return True

    def _is_hopeless(self) -> bool:
        is_short = time.monotonic() - self._began < _SHORT_SECONDS
        self._short_lives = self._short_lives + 1 if is_short else 0
        return self._short_lives >= _SHORT_LIVES


def _open_files(pid: int) -> set[str]:
    """Their names, as /proc has them; none where it has ended."""
    folder = f"/proc/{pid}/fd"
    try:
        return {os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}  # noqa: PTH115, PTH208
    except OSError:
        return set()


def _say(words: str) -> None:
    sys.stderr.write(f"keeper: {words}\n")


def main(arguments: Sequence[str]) -> int:
    address, port, begun_socket, *command = arguments
    return Keeper(command, HeldPort(address, int(port)), Path(begun_socket)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
