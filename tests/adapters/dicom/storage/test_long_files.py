"""Files that are too long to be brought into memory, which is what a sealed one would need."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.dicom.dataset.elements import Broken
from adapters.dicom.documents import files
from adapters.dicom.documents.rows import Stored
from adapters.dicom.web import stored
from adapters.dicom.web.holdings import Holding
from fhir_server.at_rest.keys import One
from fhir_server.blobs import Blobs

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAIN = "1.2.840.10008.1.2.1"
LENGTH = 4096


@pytest.fixture
def blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    for room in (files, stored):
        monkeypatch.setattr(room, "MOST_VIEWED", LENGTH - 1)
    return Blobs(tmp_path, One())


def test_a_document_is_known_by_its_row_alone(blobs: Blobs) -> None:
    names = {"StudyInstanceUID": ["1"], "SeriesInstanceUID": ["2"]}
    one = Stored("3", "1.2", PLAIN, blobs.put(bytes(LENGTH)), 0, "live", NOW, {}, "1", "2")
    found = files.read(blobs, blobs, one)
    assert {key: found.attributes[key] for key in names} == names
    assert (found.content, found.broken) == (None, "The document is too long to be read")


@pytest.mark.parametrize(("pixels", "is_opened"), [(None, False), (100, True), (4095, False)])
def test_a_data_set_is_looked_into_as_far_as_its_pixels(
    blobs: Blobs, pixels: int | None, *, is_opened: bool
) -> None:
    digest = blobs.put(bytes(LENGTH))
    one = Holding("1", "2", "3", "1.2", PLAIN, digest, 0, LENGTH, NOW, pixels)
    try:
        with stored.opened(blobs, one, 1 << 30) as found, found.data() as view:
            assert len(view) == LENGTH
    except Broken:
        assert not is_opened
    else:
        assert is_opened
