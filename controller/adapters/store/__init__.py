"""The state of the control plane: SQLite by default, PostgreSQL by URL."""

from controller.adapters.store.store import SqlStore

__all__ = ["SqlStore"]
