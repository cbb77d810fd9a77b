"""What the listener does about peers that break the protocol."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation.bad_peer import MODES, Reaction, Target, misbehave
from adapters.dicom.simulation.exam import Exam, unscheduled
from adapters.dicom.simulation.objects import instances
from tests.adapters.dicom.conftest import Archive

NOW = datetime(2024, 1, 5, 8, 10, tzinfo=UTC)
REACTIONS = {
    "slow": Reaction("aborted", 0),
    "silent": Reaction("aborted", 0),
    "abort": Reaction("closed"),
    "vanish": Reaction("closed"),
    "wrong-length": Reaction("aborted", 6),
    "huge-pdu": Reaction("aborted", 6),
    "no-release": Reaction("answered", 0),
}


def made(seed: int) -> Instance:
    [one] = instances(unscheduled(Exam(seed, "MR", 1, 8, NOW)))
    return one


def test_each_way_to_misbehave_is_tried() -> None:
    assert set(MODES) == set(REACTIONS)


@pytest.mark.parametrize("mode", sorted(REACTIONS))
def test_a_bad_peer_leaves_the_listener_as_it_was(start: Callable[..., Archive], mode: str) -> None:
    archive = start(dimse_seconds=0.3)
    target = Target(archive.address, "SANGAM", "BAD")
    reaction, _ = misbehave(mode, target, made(1))
    assert reaction == REACTIONS[mode]
    kept = [(made(1).sop_instance_uid,)] if mode == "no-release" else []
    assert archive.rows("SELECT sop_instance_uid FROM dicom_instance") == kept
    assert archive.send(made(2)) == [0]
    assert len(archive.files()) == len(kept) + 1


def test_a_peer_that_is_not_let_in_is_rejected(archive: Archive) -> None:
    reaction, _ = misbehave("abort", Target(archive.address, "OTHER", "BAD"), made(1))
    assert reaction == Reaction("rejected", 7)
