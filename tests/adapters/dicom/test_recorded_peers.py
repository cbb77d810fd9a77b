"""What peers are answered, and who is refused, is recorded before it goes out."""

import base64
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from adapters.dicom import recorded
from adapters.dicom.dataset.identifier import write
from adapters.dicom.dataset.levels import Level
from adapters.dicom.network import classes
from adapters.dicom.network.scu import Refusal, Sender
from adapters.dicom.query import peers, requester
from adapters.dicom.query.peers import Known
from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.query.conftest import instance

STUDY = classes.STUDY_ROOT_FIND


def records(archive: Archive) -> list[dict[str, Any]]:
    """The records of peers, but for what is written to FHIR."""
    rows = archive.rows("SELECT said FROM audit_record ORDER BY position")
    found = [json.loads(row[0]) for row in rows]
    return [one for one in found if one["who"].get("door") == "dicom" and "writes" not in one]


def know(archive: Archive, *some: Known) -> None:
    with psycopg.connect(archive.conninfo, autocommit=True) as connection:
        for one in some:
            peers.add(connection, one)


def two_studies(archive: Archive) -> None:
    for number in ("1", "2"):
        study = {"PatientID": f"P{number}", "StudyInstanceUID": f"1.{number}"}
        archive.send(instance(f"1.{number}.1.1", **study, SeriesInstanceUID=f"1.{number}.1"))
    archive.rows("UPDATE dicom_study SET imaging_study = 'of ' || study_instance_uid RETURNING 1")


def asked(archive: Archive, *keys: str) -> tuple[list[int], bytes]:
    """Return the statuses of a query, and its identifier as it was sent."""
    identifier = requester.identifier(Level.STUDY, keys)
    pairs = requester.contexts(STUDY)
    with Sender(archive.address, called="SANGAM", calling="WS1", contexts=pairs) as sender:
        found = [status for status, _ in requester.find(sender, STUDY, identifier)]
        syntax = next(iter(sender.contexts))[1]
    return found, bytes(write(identifier, syntax, ()))


def test_a_query_is_recorded_with_the_studies_that_it_is_answered(archive: Archive) -> None:
    two_studies(archive)
    statuses, identifier = asked(archive, "PatientID=P1")
    assert statuses == [0xFF00, 0]
    assert asked(archive, "PatientID=nobody")[0] == [0]
    first, second = records(archive)
    assert first == {
        "code": "RAD-14",
        "who": {
            "name": "WS1 at 127.0.0.1",
            "door": "dicom",
            "client": "WS1",
            "address": "127.0.0.1",
        },
        "asked": base64.b64encode(identifier).decode(),
        "places": [["ImagingStudy", "of 1.1", 0]],
    }
    assert (second["code"], "places" in second) == ("RAD-14", False)


def test_more_answers_than_may_be_given_are_neither_given_nor_recorded(
    start: Callable[..., Archive],
) -> None:
    archive = start(find_limit=1)
    two_studies(archive)
    assert asked(archive, "StudyInstanceUID=")[0] == [0xFF00, 0xB001]
    assert [len(one["places"]) for one in records(archive)] == [1]


def test_what_cannot_be_recorded_is_not_answered(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_studies(archive)

    def away(*_: object) -> None:
        raise psycopg.OperationalError

    monkeypatch.setattr(recorded, "keep_beside", away)
    assert asked(archive, "PatientID=P1")[0] == [0xA700]


def test_a_peer_that_is_refused_is_recorded_once_a_minute(archive: Archive) -> None:
    know(archive, Known("AWAY", "10.9.9.9", services=peers.SERVICES))
    know(archive, Known("ECHOES", "127.0.0.1", services=("echo",)))
    pairs = requester.contexts(STUDY)
    for _ in range(2):
        with (
            pytest.raises(Refusal),
            Sender(archive.address, called="SANGAM", calling="AWAY", contexts=pairs),
        ):
            pass
        identifier = requester.identifier(Level.STUDY, ["PatientID=P1"])
        with Sender(archive.address, called="SANGAM", calling="ECHOES", contexts=pairs) as sender:
            assert [s for s, _ in requester.find(sender, STUDY, identifier)] == [0x0124]
    told = [(one["who"]["client"], one["outcome"], one["detail"]) for one in records(archive)]
    assert told == [
        ("AWAY", 4, "The association was rejected (1,1,3)"),
        ("ECHOES", 4, "The peer may not use the service find"),
    ]


def test_an_address_that_may_not_connect_is_recorded(start: Callable[..., Archive]) -> None:
    archive = start(allow_hosts=("10.0.0.0/8",))
    with archive.connect() as connection:
        assert connection.recv(1) == b""
    for _ in range(100):
        if found := records(archive):
            break
    told = [(one["who"]["name"], one["happening"], one["detail"]) for one in found]
    assert told == [("- at 127.0.0.1", "peer-refused", "Its address is not allowed")]
