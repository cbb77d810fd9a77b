"""How many associations several processes may have together."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from adapters.dicom.places import Limits, Places


def test_places_of_all_and_of_one_host_run_out_and_come_back(tmp_path: Path) -> None:
    places = Places(tmp_path / "places", Limits(3, 2))
    first, second, third = places.take("a"), places.take("a"), places.take("a")
    assert (bool(first), bool(second), third) == (True, True, None)
    assert places.take("b") is not None
    assert places.take("c") is None
    assert first is not None
    first()
    first()
    assert places.take("c") is not None
    assert places.take("d") is None


@pytest.mark.parametrize("limits", [Limits(2, 9), Limits(9, 2)], ids=("all", "host"))
def test_processes_share_their_places(tmp_path: Path, limits: Limits) -> None:
    ours, theirs = (Places(tmp_path / "places", limits) for _ in range(2))
    assert ours.take("a") is not None
    give_back = theirs.take("a")
    assert (ours.take("a"), theirs.take("a")) == (None, None)
    assert give_back is not None
    give_back()
    assert ours.take("a") is not None
    ours.close()
    assert [theirs.take("a") is not None for _ in range(3)] == [True, True, False]


def _hold(path: Path, told: Connection) -> None:
    places = Places(path, Limits(1, 1))
    told.send(places.take("a") is not None)
    signal.pause()


def test_a_killed_process_leaves_its_places(tmp_path: Path) -> None:
    places = Places(tmp_path / "places", Limits(1, 1))
    context = multiprocessing.get_context("spawn")
    told, tell = context.Pipe(duplex=False)
    process = context.Process(target=_hold, args=(tmp_path / "places", tell))
    process.start()
    assert told.recv()
    assert places.take("a") is None
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    process.close()
    assert places.take("a") is not None


def test_a_place_given_back_after_the_end_disturbs_nobody() -> None:
    places = Places(None, Limits(1, 1))
    give_back = places.take("a")
    places.close()
    assert give_back is not None
    give_back()
