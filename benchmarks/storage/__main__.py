"""Comparison of index layouts: `python -m benchmarks.storage --rows 1000000`."""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.storage.cluster import SETTINGS, cluster, connect
from benchmarks.storage.layouts import Layout, layouts
from benchmarks.storage.observations import CODES, PATIENTS, code_with_matches, stage
from benchmarks.storage.pgbench import Latency, Script, run

DRAW = f"""\\set patient_draw random(1, 1000000)
\\set patient 1 + ({PATIENTS} - 1) * pow(:patient_draw / 1000000.0, 2)
\\set patient int(:patient)
\\set code random_zipfian(1, {CODES}, 1.001)
\\set encounter random(0, 7)
\\set day random(0, 1825)
"""
BATCH = 1000
Result = dict[str, Any]


def main() -> None:
    """Compare the layouts at each `--rows` and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--seconds", type=float, default=5, help="time of each measurement")
    parser.add_argument("--only", default="", help="only layouts whose name holds this")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/storage.json"))
    options = parser.parse_args()
    chosen = [layout for layout in layouts() if options.only in layout.name]
    results: list[Result] = []
    with cluster() as uri, connect(uri) as connection:
        for rows in options.rows:
            stage(connection, rows)
            for layout in chosen:
                results.append(measure(connection, uri, layout, rows, options.seconds))
                print(json.dumps(results[-1]), flush=True)
                options.output.parent.mkdir(parents=True, exist_ok=True)
                options.output.write_text(
                    json.dumps({"settings": SETTINGS, "results": results}, indent=1)
                )
    show(results)


def measure(
    connection: psycopg.Connection[Any], uri: str, layout: Layout, rows: int, seconds: float
) -> Result:
    """Fill the layout with the staged rows, search it, and write to it while searching."""
    prepare(connection, layout)
    result: Result = {"layout": layout.name, "rows": rows}
    result |= fill(connection, layout, rows)
    result["bytes"] = size(connection, layout)
    connection.execute("vacuum analyze " + ", ".join(layout.tables))
    matches = code_with_matches(connection, round(rows * 0.017))
    for name, sql in searches(layout, matches):
        for clients in (1, 8):
            (found,) = run(uri, [Script(sql)], clients=clients, seconds=seconds)
            result[f"{name}, {clients}"] = asdict(found)
    single = "begin;\n" + ";\n".join(layout.single) + ";\ncommit;\n"
    (written,) = run(uri, [Script(DRAW + single)], clients=8, seconds=seconds)
    result["insert single, 8"] = asdict(written)
    search = DRAW + layout.searches["patient+code by date"] + ";\n"
    mixed = run(uri, [Script(DRAW + single), Script(search)], clients=8, seconds=seconds * 2)
    result["mixed insert, 8"], result["mixed search, 8"] = map(asdict, mixed)
    return result


def prepare(connection: psycopg.Connection[Any], layout: Layout) -> None:
    """Lay out empty tables."""
    for table in ("terms", "eav", "idx_date"):
        connection.execute(f"drop table if exists {table}".encode())
    connection.execute("drop sequence if exists fresh")
    connection.execute("create sequence fresh start 1000000001 cache 100")
    connection.execute(layout.ddl.encode())
    connection.execute("checkpoint")


def fill(connection: psycopg.Connection[Any], layout: Layout, rows: int) -> Result:
    """Insert the staged rows in committed batches; return µs a resource, overall and at the end."""
    started = time.perf_counter()
    tail = last = started
    for low in range(0, rows, BATCH):
        if low == rows - rows // 10:
            tail = time.perf_counter()
        with connection.transaction(), psycopg.ClientCursor(connection) as cursor:
            for statement in layout.batch:
                cursor.execute(statement.encode(), {"low": low, "high": low + BATCH})
    last = time.perf_counter()
    return {
        "batch µs": (last - started) / rows * 1e6,
        "batch µs, last tenth": (last - tail) / (rows // 10) * 1e6,
    }


def size(connection: psycopg.Connection[Any], layout: Layout) -> dict[str, dict[str, int]]:
    """Return the bytes of each table and of each of its indexes."""
    found: dict[str, dict[str, int]] = {}
    for table in layout.tables:
        heap = connection.execute("select pg_table_size(%s::regclass)", (table,)).fetchone()
        assert heap is not None
        indexes = connection.execute(
            "select indexrelid::regclass::text, pg_relation_size(indexrelid) from pg_index"
            " where indrelid = %s::regclass",
            (table,),
        ).fetchall()
        found[table] = {"heap": heap[0]} | {str(name): int(length) for name, length in indexes}
    return found


def searches(layout: Layout, matches: tuple[int, int]) -> list[tuple[str, str]]:
    """Return the name and pgbench script of each search."""
    code, count = matches
    page = layout.searches["code newest first"]
    return [
        ("patient+code by date", DRAW + layout.searches["patient+code by date"] + ";\n"),
        ("dense code page", f"\\set code 1\n{page};\n"),
        ("rare code page", f"\\set code {CODES - 20}\n{page};\n"),
        (f"count of {count}", f"\\set code {code}\n{layout.searches['count of a code']};\n"),
    ]


COLUMNS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("rows", lambda r: f"{r['rows']:,}"),
    ("batch µs (last tenth)", lambda r: f"{r['batch µs']:.0f} ({r['batch µs, last tenth']:.0f})"),
    ("single/s", lambda r: f"{r['insert single, 8']['rate']:,.0f}"),
    ("MB", lambda r: f"{sum(sum(t.values()) for t in r['bytes'].values()) / 1e6:,.0f}"),
)


def show(results: list[Result]) -> None:
    """Print the figures as a table: rate, p50/p95 in ms with 8 connections."""
    table = Table(title="Index layouts: searches as rate/s, p50/p95 ms, 8 connections")
    names = [key for key in results[0] if key.endswith(", 8") and key != "insert single, 8"]
    for name in ("layout", *(column for column, _ in COLUMNS)):
        table.add_column(name)
    for name in names:
        table.add_column(name.removesuffix(", 8").split(" of ")[0])
    for result in results:
        cells = [result["layout"], *(write(result) for _, write in COLUMNS)]
        found = [value for key, value in result.items() if key.endswith(", 8")]
        found = [Latency(**value) for value in found if value != result["insert single, 8"]]
        cells += [f"{one.rate:,.0f}/s {one.p50:.1f}/{one.p95:.1f}" for one in found]
        table.add_row(*cells)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
