"""Leaves that are in no resource, counted by field."""

import pytest
from prometheus_client import REGISTRY

from adapters.hl7 import metrics
from fhir_server.server import Server
from tests.adapters.hl7.inbox.joining import A, done, result


def counted(sender: str, field: str, reason: str) -> float:
    labels = {"sender": sender, "field": field, "reason": reason}
    return REGISTRY.get_sample_value("hl7_unmapped_leaves_total", labels) or 0


async def test_unmapped_leaves_of_applied_messages_are_counted(server: Server) -> None:
    before = counted("HIS-H", "ZXX-1", "z_segment")
    await done(server, result(A, "F1") + b"ZXX|1^2|3\rZXX|4\r")
    assert counted("HIS-H", "ZXX-1", "z_segment") == before + 3


@pytest.mark.parametrize("address", ["LONG[1]-1[1].1.1", "Z|X[1]-1[1].1.1", "nothing"])
def test_what_is_no_segment_makes_no_series_of_its_own(address: str) -> None:
    before = counted("S", "other", "no_target")
    metrics.count_unmapped("S", [(address, "no_target")])
    assert counted("S", "other", "no_target") == before + 1


def test_fields_beyond_the_limit_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_MOST_FIELDS", 0)
    before = counted("S", "other", "control")
    metrics.count_unmapped("S", [("ZZ1[1]-7[1].1.1", "control"), ("ZZ2[1]-8[1].1.1", "control")])
    assert counted("S", "other", "control") == before + 2
