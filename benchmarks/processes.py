"""Processor time and memory of the server's processes, and of its database's."""

from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of processor time and bytes of memory at one moment.

    `server_memory` sums resident sets; `database_memory` sums proportional sets,
    as PostgreSQL's processes share their buffers. `machine_cpu` is all processes'.
    """

    server_cpu: float = 0.0
    database_cpu: float = 0.0
    server_memory: int = 0
    database_memory: int = 0
    machine_cpu: float = 0.0


class Watch:
    """The process trees of a server; processor time of ended processes is kept."""

    def __init__(self, roots: tuple[int, ...]) -> None:
        self.roots = roots
        self.seen: dict[tuple[int, float], tuple[bool, float]] = {}

    def look(self) -> Usage:
        """Return the usage now; processes that ended since the last look keep their time."""
        server_memory = database_memory = 0
        for process in self.processes():
            try:
                database = process.name().startswith("postgres")
                times = process.cpu_times()
                key = (process.pid, process.create_time())
                self.seen[key] = (database, times.user + times.system)
                if database:
                    database_memory += proportional_set(process.pid)
                else:
                    server_memory += process.memory_info().rss
            except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
                continue
        cpu = {True: 0.0, False: 0.0}
        for database, seconds in self.seen.values():
            cpu[database] += seconds
        return Usage(cpu[False], cpu[True], server_memory, database_memory, machine())

    def processes(self) -> list[psutil.Process]:
        """Return every live process of the trees once."""
        found: dict[int, psutil.Process] = {}
        for root in self.roots:
            try:
                top = psutil.Process(root)
                found |= {one.pid: one for one in (top, *top.children(recursive=True))}
            except psutil.NoSuchProcess:
                continue
        return list(found.values())


def machine() -> float:
    """Return the processor time that all processes of the machine used, in seconds."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def proportional_set(pid: int) -> int:
    """Return the proportional set size in bytes (proc(5), smaps_rollup)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def database_root(data_dir: Path) -> int | None:
    """Return the pid of the embedded PostgreSQL somewhere under `data_dir`."""
    for file in data_dir.rglob("postmaster.pid"):
        return int(file.read_text().split()[0])
    return None
