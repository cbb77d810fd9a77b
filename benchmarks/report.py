"""The figures of a run, as a table and as JSON."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario at one number of connections.

    Durations in milliseconds. Processor use as cores busy (1.0 = one core): `other`
    is the rest of the machine, storescu included. Memory in MB: `server` resident,
    `database` proportional. `share` is the rate as part of the load generator's
    ceiling. None where something was not measured or does not apply.
    """

    scenario: str
    connections: int
    rate: float
    unit: str
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    errors: int = 0
    generator_cores: float | None = None
    server_cores: float | None = None
    database_cores: float | None = None
    other_cores: float | None = None
    server_memory: float | None = None
    database_memory: float | None = None
    share: float | None = None
    note: str = ""


# Above these the generator takes so much of the machine that the figure is its own.
SHARE_LIMIT = 0.5
CORE_LIMIT = 0.5


def flagged(row: Row) -> bool:
    """Say whether the generator may have been the limit; its ceiling (in brackets) always is."""
    if row.scenario.startswith("("):
        return False
    share, cores = row.share or 0.0, row.generator_cores or 0.0
    return share > SHARE_LIMIT or cores > CORE_LIMIT


def hardware() -> dict[str, str | int]:
    """Return what the figures were measured on."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "cores": os.cpu_count() or 0,
        "cpu": model,
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def write(directory: Path, name: str, rows: list[Row], facts: dict[str, object]) -> Path:
    """Write the run as JSON and return the file."""
    now = datetime.now(UTC)
    path = directory / f"{now:%Y%m%dT%H%M%SZ}-{name}.json"
    directory.mkdir(parents=True, exist_ok=True)
    document = {"at": now.isoformat(), "server": name, "hardware": hardware(), **facts}
    document["rows"] = [asdict(row) | {"flagged": flagged(row)} for row in rows]
    path.write_text(json.dumps(document, indent=1))
    return path


def show(title: str, rows: list[Row]) -> None:
    """Print the run as a table."""
    table = Table(title=title, caption="! = the load generator may have been the limit")
    table.add_column("scenario")
    for column in ("conn", "rate", "p50 ms", "p95 ms", "p99 ms", "errors"):
        table.add_column(column, justify="right")
    for column in ("cores gen/srv/db/other", "MB srv/db", "of ceiling"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*cells(row))
    Console(width=150).print(table)


def cells(row: Row) -> list[str]:
    """Return the cells of one row."""
    cores = (row.generator_cores, row.server_cores, row.database_cores, row.other_cores)
    memory = (row.server_memory, row.database_memory)
    share = "" if row.share is None else f"{row.share:.0%}"
    return [
        row.scenario + (f" ({row.note})" if row.note else ""),
        str(row.connections),
        f"{row.rate:,.0f} {row.unit}" + (" !" if flagged(row) else ""),
        *(number(value, 1) for value in (row.p50, row.p95, row.p99)),
        str(row.errors),
        "/".join(number(value, 2) for value in cores),
        "/".join(number(value, 0) for value in memory),
        share,
    ]


def number(value: float | None, digits: int) -> str:
    """Return the number as written in a cell."""
    return "-" if value is None else f"{value:,.{digits}f}"
