"""The benchmark's messages and images are what a sender would send."""

from itertools import islice
from pathlib import Path

import pydicom

from benchmarks.images import write_study
from benchmarks.messages import MODELS, OBX, messages


def test_no_two_messages_share_an_identity() -> None:
    blocks = list(islice(messages(10**9), MODELS + 100))
    controls = {block.split(b"\r", 1)[0].split(b"|")[9] for block in blocks}
    fillers = {block.split(b"\rOBR|", 1)[1].split(b"|")[2] for block in blocks}
    assert (len(controls), len(fillers)) == (MODELS + 100, MODELS + 100)


def test_a_message_is_one_mllp_block_with_all_its_results() -> None:
    for block in islice(messages(10**9), 3):
        assert (block[:1], block[-2:], block.count(b"\x0b")) == (b"\x0b", b"\x1c\r", 1)
        assert block.count(b"\rOBX|") == OBX


def test_slices_are_distinct_instances_of_one_study(tmp_path: Path) -> None:
    write_study(tmp_path / "study", 3)
    read = [pydicom.dcmread(path) for path in sorted((tmp_path / "study").iterdir())]
    assert len({one.StudyInstanceUID for one in read}) == 1
    assert len({one.SOPInstanceUID for one in read}) == 3
    assert {len(one.PixelData) for one in read} == {512 * 512 * 2}
