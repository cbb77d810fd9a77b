import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import psycopg
import pytest
from typer.testing import CliRunner

from adapters.dicom.cli import app
from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.storage import quota as module
from adapters.dicom.storage.cli import bytes_of
from adapters.dicom.storage.quota import UNLIMITED, Account, Quota, Reserve, recount
from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.errors import BadRequest
from tests.adapters.dicom.conftest import Archive


def slices(count: int, seed: int = 1) -> list[Instance]:
    return list(instances(Study(seed, count, size=16)))


class Book:
    """A ledger in memory, which may be away."""

    def __init__(self, *accounts: Account) -> None:
        self.accounts = {one.name: one for one in accounts}
        self.away = False

    def settle(self, charges: Mapping[str, tuple[int, int]]) -> list[Account]:
        if self.away:
            raise psycopg.OperationalError
        for name, (size, count) in charges.items():
            old = self.accounts.get(name, Account(name, 0, 0))
            self.accounts[name] = Account(name, old.bytes + size, old.instances + count, old.quota)
        return list(self.accounts.values())


@pytest.mark.parametrize(
    ("accounts", "limit", "room"),
    [
        ((), 0, UNLIMITED),
        ((), 100, 100),
        ((Account("CT1", 30, 1),), 100, 70),
        ((Account("CT1", 30, 1), Account("MR1", 60, 1)), 100, 10),
        ((Account("CT1", 30, 1, 50), Account("MR1", 60, 1)), 0, 20),
        ((Account("CT1", 30, 1, 50), Account("*", 0, 0, 40)), 1000, 10),
        ((Account("CT1", 60, 1, 50),), 0, -10),
        ((Account("MR1", 60, 1, 50),), 0, UNLIMITED),
    ],
    ids=range(8),
)
def test_room_is_what_the_tightest_quota_leaves(
    accounts: tuple[Account, ...], limit: int, room: int
) -> None:
    assert Quota(Book(*accounts), limit).room("CT1") == room


def test_what_was_stored_counts_at_once_and_is_written_down() -> None:
    book = Book(Account("CT1", 10, 1, 100))
    quota = Quota(book)
    assert quota.room("CT1") == 90
    quota.charge("CT1", 30)
    assert (quota.room("CT1"), book.accounts["CT1"].bytes) == (60, 10)
    quota.settle()
    assert book.accounts["CT1"] == Account("CT1", 40, 2, 100)
    assert quota.room("CT1") == 60


def test_charges_outlive_a_ledger_that_is_away() -> None:
    book = Book(Account("CT1", 0, 0, 100))
    quota = Quota(book)
    quota.charge("CT1", 30)
    book.away = True
    quota.settle()
    book.away = False
    quota.settle()
    assert book.accounts["CT1"] == Account("CT1", 30, 1, 100)


def test_the_operator_is_warned_once_at_80_percent(caplog: pytest.LogCaptureFixture) -> None:
    quota = Quota(Book(Account("CT1", 0, 0, 100)))
    quota.room("CT1")
    with caplog.at_level(logging.WARNING, module.__name__):
        for _ in range(9):
            quota.charge("CT1", 10)
    assert caplog.messages == ["the quota of CT1 is used to 80 %"]


@pytest.mark.parametrize(
    ("total", "free", "size", "room"),
    [
        (1000 << 30, 21 << 30, None, 1 << 30),
        (100 << 30, 6 << 30, None, 1 << 30),
        (100 << 30, 4 << 30, None, -1 << 30),
        (100 << 30, 4 << 30, 1 << 30, 3 << 30),
        (100 << 30, 4 << 30, 0, 4 << 30),
    ],
    ids=["20 GiB", "5 %", "below 5 %", "as set", "none"],
)
def test_the_reserve_of_a_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, total: int, free: int, size: int, room: int
) -> None:
    class Usage(NamedTuple):
        total: int
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(total, free))
    assert Reserve(size).free(tmp_path) == room


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("500", 500), ("2K", 2048), ("1 GiB", 1 << 30), ("3tb", 3 << 40)]
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5G", "many", "1X"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        bytes_of(text)


class Target:
    """What the command line opens, for a running listener."""

    tenant = None

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def settings(self) -> Settings:
        return self._archive.settings

    @asynccontextmanager
    async def __call__(self) -> Any:
        pool = Database(self._archive.conninfo, size=2)
        await pool.open()
        try:
            yield pool
        finally:
            await pool.close()


def sangam(archive: Archive, *arguments: str) -> str:
    result = CliRunner().invoke(
        app, [*arguments], obj=Target(archive), env={"COLUMNS": "200"}, catch_exceptions=False
    )
    return result.output


@contextmanager
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(module, "_SETTLE_SECONDS", 0.01)
        yield


def test_a_full_quota_refuses_its_sender_alone_until_it_is_raised(
    start: Callable[..., Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_once(monkeypatch):
        archive = start()
        one, two, three, four = slices(4)
        assert archive.send(one, calling="CT1") == [0]
        assert "1,100 bytes" in sangam(archive, "quota", "set", "CT1", "1100")
        assert archive.send(two, calling="CT1") == [0xA700]
        assert archive.send(two, calling="MR1") == [0]
        assert len(archive.files()) == 2
        sangam(archive, "quota", "set", "CT1", "1G")
        assert archive.send(three, calling="CT1") == [0]
        sangam(archive, "quota", "set", "*", "1")
        assert archive.send(four, calling="MR1") == [0xA700]
        sangam(archive, "quota", "set", "*", "none")
        assert archive.send(four, calling="MR1") == [0]


def test_accounts_are_of_what_was_stored_and_are_counted_again(
    start: Callable[..., Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_once(monkeypatch):
        archive = start()
        one, two = slices(2)
        archive.send(one, one, two, calling="CT1")
        held = ("CT1", len(one.data_set) + len(two.data_set), 2)
        accounts = "SELECT name, bytes, instances FROM dicom_usage"
        wait_until(lambda: archive.rows(accounts) == [held])
        assert f"{held[1]:,}" in sangam(archive, "quota", "show")
        archive.rows("UPDATE dicom_usage SET bytes = 7 RETURNING 1")
        archive.rows("INSERT INTO dicom_usage (name, bytes) VALUES ('GONE', 9) RETURNING 1")
        with psycopg.connect(archive.conninfo, autocommit=True) as connection:
            recount(connection, Quota(Book()), again=False)
            assert archive.rows(f"{accounts} ORDER BY 1 LIMIT 1") == [("CT1", 7, 2)]
            recount(connection, Quota(Book()))
        assert archive.rows(f"{accounts} ORDER BY 1") == [held, ("GONE", 0, 0)]


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it does not come about")


def test_an_archive_without_accounts_is_counted_at_the_start(
    start: Callable[..., Archive], database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO dicom_instance (sop_instance_uid, study_instance_uid, series_instance_uid,"
            " sop_class_uid, transfer_syntax_uid, blob, data_set_hash, size, data_set_offset,"
            " calling_ae, peer, flags, attributes, received_at)"
            " VALUES ('1', '1', '1', '1', '1', '', '', 44, 1, 'OLD', '', '{}', '{}', '2020-01-01')"
        )
    archive = start()
    accounts = "SELECT name, bytes, instances FROM dicom_usage"
    wait_until(lambda: archive.rows(accounts) == [("OLD", 44, 1)])
