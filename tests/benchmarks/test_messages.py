"""The benchmark's messages and images are what a sender would send."""

import shutil
import socket
from itertools import islice
from pathlib import Path

import pydicom
import pytest

from benchmarks import messages as made
from benchmarks.images import send, write_study
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


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 50)])
def test_so_large_a_share_of_the_messages_is_critical(
    monkeypatch: pytest.MonkeyPatch, share: float, expected: int
) -> None:
    monkeypatch.setattr(made, "MODELS", 50)
    blocks = islice(messages(10**9, share), 50)
    assert sum(b"|HH|" in block or b"|LL|" in block for block in blocks) == expected


def test_slices_are_distinct_instances_of_one_study(tmp_path: Path) -> None:
    write_study(tmp_path / "study", 3)
    read = [pydicom.dcmread(path) for path in sorted((tmp_path / "study").iterdir())]
    assert len({one.StudyInstanceUID for one in read}) == 1
    assert len({one.SOPInstanceUID for one in read}) == 3
    assert {len(one.PixelData) for one in read} == {512 * 512 * 2}


@pytest.mark.skipif(shutil.which("storescu") is None, reason="storescu (dcmtk) is not installed")
def test_a_refused_association_counts_no_instance(tmp_path: Path) -> None:
    write_study(tmp_path / "study", 2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    sent = send(("127.0.0.1", port), "NOBODY", [tmp_path / "study"], no_delay=True)
    assert (sent.instances, sent.rate, sent.failed) == (0, 0.0, 1)
