import socket
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry

from adapters.dicom import metrics
from adapters.dicom.documents.figures import figures
from adapters.dicom.network.scu import Refusal
from adapters.dicom.simulation import computed_tomography as simulate
from fhir_server.server import Server
from tests.adapters.dicom.conftest import Archive


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_an_instance_is_counted_by_peer_status_bytes_and_steps(archive: Archive) -> None:
    [one] = simulate.instances(simulate.Study(1, 1, size=8))
    labels = {"peer": "COUNTED"}
    before = value("dicom_received_bytes_total", **labels)
    commits = value("dicom_store_seconds_count", step="commit")
    assert archive.send(one, calling="COUNTED") == [0]
    assert value("dicom_instances_received_total", **labels, status="0000") == 1
    assert value("dicom_received_bytes_total", **labels) == before + len(one.data_set)
    for step in ("receive", "parse", "fsync"):
        assert value("dicom_store_seconds_count", step=step) > 0
    assert value("dicom_store_seconds_count", step="commit") == commits + 1


def test_an_instance_that_is_refused_has_no_bytes(start: Callable[..., Archive]) -> None:
    archive = start(max_object_bytes=100)
    [one] = simulate.instances(simulate.Study(1, 1, size=8))
    assert archive.send(one, calling="REFUSED") == [0xA700]
    assert value("dicom_instances_received_total", peer="REFUSED", status="A700") == 1
    assert value("dicom_received_bytes_total", peer="REFUSED") == 0


def test_a_rejected_association_is_counted_by_its_reason(start: Callable[..., Archive]) -> None:
    archive = start(ae_titles=("OTHER",))
    before = value("dicom_associations_rejected_total", reason="1,1,7")
    with pytest.raises(Refusal, match="00010107"):
        archive.send(*simulate.instances(simulate.Study(1, 1, size=8)))
    assert value("dicom_associations_rejected_total", reason="1,1,7") == before + 1


def test_a_foreign_host_is_counted(start: Callable[..., Archive]) -> None:
    archive = start(allow_hosts=("192.0.2.0/24",))
    before = value("dicom_associations_rejected_total", reason="host")
    with socket.create_connection(archive.address, 10) as sock:
        sock.settimeout(10)
        assert sock.recv(1) == b""
    assert value("dicom_associations_rejected_total", reason="host") == before + 1


def test_a_query_is_timed_though_nobody_reads_it_to_its_end() -> None:
    before = value("dicom_query_seconds_count", level="SERIES")

    def answers() -> Any:
        with metrics.querying("SERIES"):
            yield 1
            yield 2

    reading = answers()
    assert next(reading) == 1
    reading.close()
    assert value("dicom_query_seconds_count", level="SERIES") == before + 1


@pytest.mark.parametrize(
    ("status", "result"), [(0, "completed"), (0xB000, "warning"), (0xA700, "failed")]
)
def test_sub_operations_are_counted_by_result(status: int, result: str) -> None:
    before = value("dicom_suboperations_total", result=result)
    metrics.sent(status)
    assert value("dicom_suboperations_total", result=result) == before + 1


def test_titles_that_callers_give_themselves_are_no_flood_of_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "_peers", {str(number) for number in range(500)})
    assert metrics.peer_label("7") == "7"
    assert metrics.peer_label("NEW") == "other"


async def test_documents_are_counted_by_state(server: Server) -> None:
    async with server.database.statement() as connection:
        await connection.execute(
            "INSERT INTO dicom_document (sop_instance_uid, study_instance_uid, sop_class_uid, "
            "state, fingerprint, unmapped) VALUES ('1', '2', '3', 'failed', '', '[1, 2]')"
        )
        registry = CollectorRegistry()
        await figures(connection, registry)
    assert registry.get_sample_value("dicom_documents", {"state": "failed"}) == 1
    assert registry.get_sample_value("dicom_documents", {"state": "mapped"}) == 0
    assert registry.get_sample_value("dicom_document_items_unmapped") == 2
