"""To a peer of another organisation goes what is permitted, by C-MOVE and by C-GET."""

from collections.abc import Callable, Collection
from pathlib import Path

from adapters.dicom.dataset.levels import Level
from adapters.dicom.network.scu import Sender
from adapters.dicom.query import requester
from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.query.conftest import instance
from tests.adapters.dicom.query.test_retrieve import CT, EXPLICIT, GET, RECORDED, moved, told

THERE = "Organization/there"
BOTH = "StudyInstanceUID=1.1\\1.2"


def permits(tenant: str, organization: str, studies: Collection[str]) -> Collection[str]:
    assert (tenant, organization) == ("", THERE)
    return set(studies) & {"1.1"}


def filled(archive: Archive) -> Archive:
    for study in ("1.1", "1.2"):
        one = instance(f"{study}.1.1", StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1")
        assert archive.send(one) == [0]
    return archive


def test_a_peer_of_another_organisation_is_sent_what_is_permitted(
    start: Callable[..., Archive], know: Callable[..., None], storescp: tuple[int, Path]
) -> None:
    archive = filled(start(permits=permits))
    port, directory = storescp
    know("STORESCP", port, services=("store",), discloses_to=THERE)
    last = moved(archive, "STORESCP", BOTH)[-1]
    assert told(last) == (0xB000, None, 1, 1, 0)
    [arrived] = directory.iterdir()
    assert arrived.name.endswith("1.1.1.1")
    [[recorded]] = archive.rows(RECORDED)
    assert recorded["studies"] == ["1.1"]
    assert told(moved(archive, "STORESCP", "StudyInstanceUID=1.2")[-1]) == (0xB000, None, 0, 1, 0)


def test_where_nobody_can_be_asked_nothing_goes_to_another_organisation(
    archive: Archive, know: Callable[..., None], storescp: tuple[int, Path]
) -> None:
    filled(archive)
    port, directory = storescp
    know("STORESCP", port, services=("store",), discloses_to=THERE)
    assert told(moved(archive, "STORESCP", BOTH)[-1]) == (0xB000, None, 0, 2, 0)
    assert (list(directory.iterdir()), archive.rows(RECORDED)) == ([], [])


def test_a_peer_of_another_organisation_gets_what_is_permitted(
    start: Callable[..., Archive], know: Callable[..., None], tmp_path: Path
) -> None:
    archive = filled(start(permits=permits))
    know("THEM", services=("get",), discloses_to=THERE)
    pairs = requester.contexts(GET)
    keys = requester.identifier(Level.STUDY, (BOTH,))
    us = {"called": "SANGAM", "calling": "THEM"}
    with Sender(archive.address, **us, contexts=pairs, providing={CT: (EXPLICIT,)}) as sender:
        last = list(requester.get(sender, GET, keys, tmp_path))[-1]
    assert told(last) == (0xB000, None, 1, 1, 0)
    assert [one.name for one in tmp_path.glob("*.dcm")] == ["1.1.1.1.dcm"]
