import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from spooled import csv, release_of, write

from benchmarks.synthetic_rf2 import Size, write_package
from terminology.loaders import write as writing
from terminology.loaders.release import Release, code_system
from terminology.loaders.report import LoadRefused, Step
from terminology.loaders.spool import Spool
from terminology.loaders.write import load_release, locked, remove_release, try_release

URL = "http://example.org/letters"
CONCEPTS = 1_500
EDGES = {("b", "a"), ("c", "b"), ("d", "a"), ("d", "c")}


def letters(
    *codes: str,
    version: str = "1",
    edges: set[tuple[str, str]] = EDGES,
    files: Release | None = None,
) -> Release:
    """A small release: codes in this order, with edges (child, parent) among them."""

    def fill(spool: Spool) -> Iterator[str]:
        prop = spool.property_id("next", "code")
        for code in codes:
            number = spool.concept(code, f"Letter {code}")
            assert number is not None
            spool.link(number, prop, spool.codes.number(chr(ord(code) + 1)))
        for child, parent in edges:
            spool.edge(spool.codes.number(child), spool.codes.number(parent))
        yield from ()

    head = code_system(URL, version, "Letters", "Letters")
    return Release(head, files.files if files else (), fill)


def load(url: str, release: Release, **wish: bool) -> writing.Loaded:
    return asyncio.run(load_release(url, release, grace=0, **wish))


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def tables(url: str) -> list[tuple[object, ...]]:
    """The partitions that there are."""
    return rows(url, "SELECT tablename FROM pg_tables WHERE tablename ~ '^concept_[0-9]+$'")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("synthetic"), Size(CONCEPTS))


def test_numbers_are_in_the_order_of_codes_and_seq_in_that_of_definition(database_url: str) -> None:
    load(database_url, letters("d", "a", "c", "b"))
    found = rows(database_url, "SELECT code, cid, seq FROM tx.concept ORDER BY cid")
    assert found == [("a", 1, 2), ("b", 2, 4), ("c", 3, 3), ("d", 4, 1)]


def test_a_hierarchy_with_too_many_ancestors_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MAX_PAIRS", 4)
    with pytest.raises(LoadRefused, match="more than 4 ancestors in all"):
        load(database_url, letters("d", "a", "c", "b"))
    assert tables(database_url) == []


def test_every_ancestor_is_written_with_its_least_distance(database_url: str) -> None:
    load(database_url, letters("d", "a", "c", "b"))
    found = rows(
        database_url,
        "SELECT d.code, a.code, depth FROM tx.closure c"
        " JOIN tx.concept d ON d.cid = descendant JOIN tx.concept a ON a.cid = ancestor",
    )
    assert set(found) == {
        ("b", "a", 1),
        ("c", "b", 1),
        ("c", "a", 2),
        ("d", "a", 1),
        ("d", "c", 1),
        ("d", "b", 2),
    }


def test_what_names_no_concept_is_left_out_and_reported(database_url: str) -> None:
    done = load(database_url, letters("a", "b"))
    assert rows(database_url, "SELECT cid, value_cid FROM tx.property") == [(1, 2)]
    assert [one.reason for one in done.report.problems] == [
        "c is named and not defined",
        "d is named and not defined",
    ]
    assert rows(database_url, "SELECT child, parent FROM tx.edge") == [(2, 1)]


def test_the_release_says_what_it_is(database_url: str) -> None:
    load(database_url, letters("a", "b"))
    query = "SELECT state, concepts, hierarchical, resource ->> 'name' FROM tx.code_system"
    assert rows(database_url, query) == [("current", 2, True, "Letters")]


def test_a_cycle_is_refused_with_its_codes(database_url: str) -> None:
    cycle = letters("a", "b", "c", "d", edges={("a", "b"), ("b", "c"), ("c", "a"), ("d", "c")})
    with pytest.raises(LoadRefused, match=r"3 concepts are their own ancestors: a, b, c$"):
        load(database_url, cycle)
    assert rows(database_url, "SELECT * FROM tx.code_system") == []
    assert tables(database_url) == []


def test_a_failed_load_leaves_the_old_release_serving(database_url: str) -> None:
    load(database_url, letters("a"))
    with pytest.raises(LoadRefused):
        load(database_url, letters("a", "b", edges={("a", "b"), ("b", "a")}))
    assert rows(database_url, "SELECT code FROM tx.concept") == [("a",)]


def test_two_versions_serve_side_by_side(database_url: str) -> None:
    load(database_url, letters("a", version="1"))
    load(database_url, letters("a", "b", version="2"))
    query = "SELECT version, concepts FROM tx.code_system ORDER BY version"
    assert rows(database_url, query) == [("1", 1), ("2", 2)]


def test_the_same_version_from_other_files_replaces_the_old(database_url: str) -> None:
    load(database_url, letters("a"))
    load(database_url, letters("a", "b"))
    assert rows(database_url, "SELECT concepts FROM tx.code_system") == [(2,)]
    assert len(tables(database_url)) == 1


def test_the_same_files_once_more_change_nothing(database_url: str, package: Path) -> None:
    first = load(database_url, release_of(package))
    moved = package.rename(package.with_name("renamed"))
    try:
        again = load(database_url, release_of(moved))
    finally:
        moved.rename(package)
    assert (first.concepts, again.id, again.concepts) == (CONCEPTS + 14, None, CONCEPTS + 14)
    assert rows(database_url, "SELECT id FROM tx.code_system") == [(first.id,)]


def test_a_removed_release_leaves_nothing(database_url: str) -> None:
    load(database_url, letters("a"))
    assert asyncio.run(remove_release(database_url, URL, "1", grace=0)) is True
    assert rows(database_url, "SELECT * FROM tx.code_system") == []
    assert tables(database_url) == []
    assert asyncio.run(remove_release(database_url, URL, "1", grace=0)) is False


def test_a_dry_run_finds_what_a_load_refuses() -> None:
    with pytest.raises(LoadRefused, match=r"their own ancestors: a, b$"):
        asyncio.run(try_release(letters("a", "b", edges={("a", "b"), ("b", "a")})))


def test_bad_rows_are_refused_unless_they_are_to_be_skipped(
    database_url: str, tmp_path: Path
) -> None:
    header = csv("LOINC_NUM", "COMPONENT", "CLASS", "STATUS", "LONG_COMMON_NAME")
    good = csv("1-8", "Glucose", "CHEM", "ACTIVE", "Glucose in Blood")
    write(tmp_path, "x.csv", header, good, csv("2-6", "short"))
    with pytest.raises(LoadRefused, match=r"1 rows cannot be read: .*x\.csv:3: 2 columns"):
        load(database_url, release_of(tmp_path, version="1"))
    done = load(database_url, release_of(tmp_path, version="1"), skip_bad_rows=True)
    assert done.concepts == 1


def test_a_code_too_long_for_the_index_is_refused(database_url: str) -> None:
    long = "".join(chr(300 + number) for number in range(5_000))

    def fill(spool: Spool) -> Iterator[str]:
        spool.concept(long, "Long")
        yield from ()

    release = Release(code_system(URL, "1", "Long", "Long"), (), fill)
    with pytest.raises(LoadRefused, match="does not take a row of concept"):
        load(database_url, release)


def test_two_loads_at_once_do_not_meet(database_url: str) -> None:
    async def both() -> None:
        async with locked(database_url):
            with pytest.raises(LoadRefused, match="another load is under way"):
                await load_release(database_url, letters("a"))

    asyncio.run(both())


# Loads for ever: its first table is written, the second never ends.
ENDLESS = """
import asyncio, sys, time
from terminology.loaders.release import Release, code_system
from terminology.loaders.write import load_release

def fill(spool):
    spool.codes.fix(["a"])
    spool.codes.define(1)
    spool.put("concept", "1\\ta\\tNew\\t\\\\N\\tt\\tf\\t\\\\N\\t1\\n")
    yield "concept"
    print("writing", flush=True)
    time.sleep(600)

head = code_system("http://example.org/letters", "1", "Letters", "Letters")
asyncio.run(load_release(sys.argv[1], Release(head, (), fill)))
"""


def test_what_a_killed_load_leaves_never_serves_and_is_removed_by_the_next(
    database_url: str,
) -> None:
    load(database_url, letters("a"))
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, database_url], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        os.kill(process.pid, signal.SIGKILL)
    states = "SELECT state FROM tx.code_system ORDER BY id"
    assert rows(database_url, states) == [("current",), ("loading",)]
    assert rows(
        database_url,
        "SELECT display FROM tx.concept WHERE cs_id IN "
        "(SELECT id FROM tx.code_system WHERE state = 'current')",
    ) == [("Letter a",)]
    # The lock of the dead is given up as soon as PostgreSQL sees its end.
    while "another load" in _outcome(database_url):
        time.sleep(0.05)
    assert rows(database_url, states) == [("current",)]
    assert len(tables(database_url)) == 1


def _outcome(database_url: str) -> str:
    try:
        load(database_url, letters("a", "b"))
    except LoadRefused as refused:
        return str(refused)
    return ""


def test_a_generated_package_is_loaded_whole(database_url: str, package: Path) -> None:
    steps: list[Step] = []
    release = release_of(package, progress=steps.append)
    done = asyncio.run(load_release(database_url, release, progress=steps.append))
    assert done.report.counts == {}
    counted = {
        table: rows(database_url, f"SELECT count(*) FROM tx.{table}")[0][0]
        for table in ("concept", "designation", "property", "refset_member", "closure")
    }
    assert counted == {table: done.report.rows[table] for table in counted}
    assert {"reading concepts", "hierarchy"} <= {step.stage for step in steps}
    inactive = rows(database_url, "SELECT count(*) FROM tx.concept WHERE NOT active")
    assert inactive == [(CONCEPTS // 50,)]


def test_a_database_that_goes_away_is_told_and_nothing_serves(database_url: str) -> None:
    def fill(spool: Spool) -> Iterator[str]:
        spool.codes.fix(["a"])
        spool.codes.define(1)
        yield "concept"
        ended = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
        rows(database_url, f"{ended} AND datname = current_database()")
        yield "edge"

    release = Release(code_system(URL, "1", "Letters", "Letters"), (), fill)
    with pytest.raises((LoadRefused, psycopg.OperationalError)):
        load(database_url, release)
    load(database_url, letters("a"))
    assert rows(database_url, "SELECT state FROM tx.code_system") == [("current",)]
