"""Database sessions of a process that lets others go first, and that do so too.

A process that maps messages spends a third of its time in the database. Where that is on this
machine, its sessions are processes too, and would compete with those who answer.

https://man7.org/linux/man-pages/man2/getpriority.2.html
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg


async def follow(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
    """Let the process of a session be as nice as this one, where both are on this machine.

    It may be out of reach: of another user, in another container, on another machine.
    """
    nice = own()
    if nice > 0 and (connection.info.host or "").startswith("/"):
        pid = connection.info.backend_pid
        with suppress(OSError):
            if _is_session(pid):
                os.setpriority(os.PRIO_PROCESS, pid, nice)


def own() -> int:
    """Return how nice this process is: from 0 on, the more the nicer."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def _is_session(pid: int) -> bool:
    """Return whether a process is PostgreSQL's; another container counts processes of its own."""
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "postgres"
