"""Data sets brought into another transfer syntax by a process that may die of one."""

from collections.abc import Iterator

import pytest

from adapters.dicom.pixels.pool import Pool
from adapters.dicom.pixels.whole import transcoder
from adapters.dicom.query.transcode import MOST_BYTES, Undecodable, transcoded
from tests.adapters.dicom import files

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool(workers=1, memory=2 << 30, seconds=30)
    yield made
    made.close()


def test_a_process_gives_the_same_data_set(pool: Pool) -> None:
    file = files.one("MR_small_RLE.dcm")
    size = len(file.data_set)
    found = transcoder(pool, 1)(file.path, size, EXPLICIT)
    assert found == transcoded(file.path, size, EXPLICIT)
    assert len(found) > size


def test_what_cannot_be_decoded_is_said_and_the_next_is_not_hurt(pool: Pool) -> None:
    file = files.one("MR_small_RLE.dcm")
    transcode = transcoder(pool, 1)
    with pytest.raises(Undecodable):
        transcode(file.path.with_name("no such file"), 1, EXPLICIT)
    with pytest.raises(Undecodable):
        transcode(file.path, MOST_BYTES + 1, EXPLICIT)
    assert transcode(file.path, 1, EXPLICIT)


def test_a_process_that_dies_is_the_loss_of_one_data_set() -> None:
    file = files.one("MR_small_RLE.dcm")
    late = Pool(workers=1, memory=2 << 30, seconds=0)
    with pytest.raises(Undecodable):
        transcoder(late, 1)(file.path, 1, EXPLICIT)
    late.close()
