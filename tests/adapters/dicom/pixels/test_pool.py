"""A hostile file ends a process for pictures and not the server."""

import os
import random
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from adapters.dicom.pixels.pool import Pool
from adapters.dicom.pixels.refusals import NoFrame, NoPixels
from adapters.dicom.pixels.request import Answer, Order, Picture
from fhir_server.errors import Unavailable
from tests.adapters.dicom.pixels.images import EXPLICIT, attributes, row, written
from tests.adapters.dicom.pixels.pydicom_files import BY_NAME

MEMORY = 512 << 20
NAMES = ("MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_jp2klossless.dcm", "rtdose.dcm")


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    found = Pool(workers=2, memory=MEMORY, seconds=30)
    yield found
    found.close()


def order(path: Path, offset: int = 0, syntax: str = EXPLICIT, frame: int = 0) -> Order:
    return Order(
        path=str(path), offset=offset, syntax=syntax, frame=frame, picture=Picture(format="png")
    )


def small(folder: Path) -> Path:
    return written(folder / "small", attributes(row(0, 255)), row(0, 255).tobytes())


def test_path_counts_from_the_directory_of_the_server(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert pool.ask(order(Path("small"))).refusal == ""


def works(pool: Pool, folder: Path) -> bool:
    found = pool.ask(order(small(folder)))
    return np.array_equal(np.asarray(Image.open(BytesIO(found.content))), [[0, 255]])


def test_process_stays_for_the_next_picture(pool: Pool, tmp_path: Path) -> None:
    assert works(pool, tmp_path)
    before = psutil.Process().children()
    assert works(pool, tmp_path)
    assert psutil.Process().children() == before


def test_too_much_memory_is_refused_and_the_process_lives(pool: Pool, tmp_path: Path) -> None:
    assert works(pool, tmp_path)
    more = {"Rows": 15000, "Columns": 15000}
    path = written(tmp_path / "large", attributes(row(1), **more), bytes(2 << 20))
    before = psutil.Process().children()
    assert pool.ask(order(path)) == Answer(
        refusal="NotShown", text="The frame needs more memory than is allowed"
    )
    assert psutil.Process().children() == before


def test_process_that_dies_is_replaced(pool: Pool, tmp_path: Path) -> None:
    assert works(pool, tmp_path)
    for one in psutil.Process().children():
        if "adapters.dicom.pixels.worker" in one.cmdline():
            one.kill()
    assert pool.ask(order(small(tmp_path))).refusal == "NotShown"
    assert works(pool, tmp_path)


def test_picture_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless")
    pool = Pool(workers=1, memory=MEMORY, seconds=0.3)
    assert pool.ask(order(tmp_path / "endless")) == Answer(
        refusal="NotShown", text="The frame takes too long to be shown"
    )
    pool.close()


def test_end_of_the_pool_is_the_end_of_its_processes(tmp_path: Path) -> None:
    before = psutil.Process().children()
    pool = Pool(workers=1, memory=MEMORY, seconds=30)
    assert works(pool, tmp_path)
    assert psutil.Process().children() != before
    del pool
    assert psutil.Process().children() == before


@pytest.mark.anyio
async def test_refusals_come_back_as_errors(pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(NoFrame):
        await pool.render(order(small(tmp_path), frame=9))
    with pytest.raises(NoPixels):
        await pool.render(order(written(tmp_path / "none", attributes(row(1), Rows=0), b"")))
    with pytest.raises(Unavailable):
        await pool.render(order(tmp_path / "nothing"))


@pytest.mark.anyio
async def test_without_room_nobody_waits(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.dicom.pixels.pool._WAITING_FOR_EACH", 0)
    with pytest.raises(Unavailable) as refused:
        await pool.render(order(small(tmp_path)))
    assert refused.value.headers == {"Retry-After": "5"}


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_shown_or_refused(pool: Pool, tmp_path: Path, name: str) -> None:
    one = BY_NAME[name]
    whole = one.path.read_bytes()
    chance = random.Random(name)
    answers = []
    for _ in range(20):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 20)):
            damaged[chance.randrange(one.offset, len(damaged))] = chance.randrange(256)
        if chance.random() < 0.3:
            del damaged[chance.randrange(one.offset, len(damaged)) :]
        path = tmp_path / "damaged"
        path.write_bytes(damaged)
        answers.append(pool.ask(order(path, one.offset, one.transfer_syntax_uid)))
    assert all(bool(found.content) != bool(found.refusal) for found in answers)
    assert {found.refusal for found in answers} <= {"", "NotShown", "NoFrame", "NoPixels"}
    assert works(pool, tmp_path)
