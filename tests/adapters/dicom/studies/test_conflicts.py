"""Another content under a known SOP Instance UID."""

import pytest

from adapters.dicom.studies import conflicts
from fhir_server.errors import Conflict, NotFound
from tests.adapters.dicom.studies.archive import Held, image

FIRST = image("1.2.3", StudyDescription="first")
OTHER = image("1.2.3", StudyDescription="other")
CODED = image("1.2.3", StudyDescription="first", syntax="1.2.840.10008.1.2")
MOVED = image("1.2.3", StudyDescription="first", study="1.2.9")


async def listed(archive: Held, *, everything: bool = False) -> list[tuple[str, str]]:
    async with archive.server.database.connection() as connection:
        found = await conflicts.conflicts(connection, everything=everything)
    return [(one["kind"], one["state"]) for one in found]


async def stored(archive: Held) -> list[str]:
    rows = await archive.rows("SELECT attributes -> 'StudyDescription' ->> 0 FROM dicom_instance")
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    ("dicom", "statuses", "kept", "rows"),
    [
        ({}, [0, 0], "first", [("content", "open")]),
        ({"on_conflict": "replace"}, [0, 0], "other", [("content", "replaced")]),
        ({"on_conflict": "reject"}, [0, 0x0111], "first", []),
    ],
    ids=["keep-first", "replace", "reject"],
)
async def test_the_policy_decides_on_another_content(
    archive: Held, statuses: list[int], kept: str, rows: list[tuple[str, str]]
) -> None:
    assert await archive.send(FIRST, OTHER) == statuses
    assert await stored(archive) == [kept]
    assert await listed(archive, everything=True) == rows


@pytest.mark.parametrize("dicom", [{"on_conflict": p} for p in ("keep-first", "replace", "reject")])
async def test_another_study_is_always_a_conflict_and_never_replaces(archive: Held) -> None:
    assert await archive.send(FIRST, MOVED) == [0, 0]
    assert await listed(archive) == [("study", "open")]
    assert await archive.rows("SELECT study_instance_uid FROM dicom_instance") == [("1.2.1",)]


async def test_another_encoding_needs_nobody(archive: Held) -> None:
    assert await archive.send(FIRST, CODED) == [0, 0]
    assert await listed(archive) == []
    assert await listed(archive, everything=True) == [("encoding", "kept")]


async def test_an_operator_takes_the_other_content_and_takes_that_back(archive: Held) -> None:
    await archive.send(FIRST, OTHER)
    [(id_,)] = await archive.rows("SELECT id FROM dicom_conflict")
    async with archive.server.database.transaction() as connection:
        previous = await conflicts.accept(connection, id_, "operator")
    await archive.work()
    assert await stored(archive) == ["other"]
    assert (await archive.found("ImagingStudy"))[0]["description"] == "other"
    assert await listed(archive, everything=True) == [("content", "replaced")]
    async with archive.server.database.transaction() as connection:
        await conflicts.accept(connection, previous, "operator")
    assert await stored(archive) == ["first"]


async def test_an_operator_keeps_what_is_stored(archive: Held) -> None:
    await archive.send(FIRST, OTHER)
    [(id_,)] = await archive.rows("SELECT id FROM dicom_conflict")
    async with archive.server.database.transaction() as connection:
        await conflicts.keep(connection, id_, "operator")
    assert await listed(archive) == []
    assert await stored(archive) == ["first"]


async def test_what_is_another_studys_cannot_be_taken(archive: Held) -> None:
    await archive.send(FIRST, MOVED)
    [(id_,)] = await archive.rows("SELECT id FROM dicom_conflict")
    async with archive.server.database.transaction() as connection:
        with pytest.raises(Conflict):
            await conflicts.accept(connection, id_, "operator")
        with pytest.raises(NotFound):
            await conflicts.keep(connection, id_ + 1, "operator")
