"""What the router needs of whatever runs nginx: a process of this machine, or a container."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Launcher(Protocol):
    """Runs one nginx on the configuration `<config_root>/nginx.conf`.

    The router writes every file into its `run_dir`; nginx sees the same folder as
    `config_root`: equal for a process, a bind mount for a container. Calls block: the router
    makes them in threads, one at a time. All raise RouterUnavailable where nginx or the
    container engine does not do what was asked; none raises because something is so already.

    A launcher adds `daemon off;` or `daemon on;` by `-g` on the command line. All else (pid
    file, temporary files, logs, sockets) is in the configuration, below `config_root`."""

    config_root: Path
    """`run_dir` as nginx sees it; it goes into the rendered configuration."""

    def build_info(self) -> str:
        """The output of `nginx -V`: version and modules."""
        ...

    def is_running(self) -> bool:
        """Whether the nginx of this `run_dir` runs, whoever started it."""
        ...

    def start(self) -> None:
        """Start nginx unless it runs; it outlives the controller. Returns once it was started;
        the router waits for the control socket to answer."""
        ...

    def test(self, configuration: Path) -> str | None:
        """`nginx -t -c configuration` (as nginx sees it): None when fine, else its words."""
        ...

    def reload(self) -> None:
        """Tell nginx to read `nginx.conf` again (HUP)."""
        ...

    def reopen_logs(self) -> None:
        """Tell nginx to open its log files again (USR1), after they were moved away."""
        ...

    def replace(self, grace_seconds: float) -> None:
        """Another nginx in the place of the one that runs, whose requests in flight get
        `grace_seconds`; 0: it hangs. Where it can, the other begins before they have ended."""
        ...

    def let_go(self) -> None:
        """Where nginx does not run, and no start follows: whoever asks is refused at once."""
        ...

    def stop(self, grace_seconds: float) -> None:
        """QUIT: requests in flight end; after `grace_seconds` TERM, then KILL. Returns when
        nginx is gone."""
        ...
