"""A server with an archive beside it: instances sent to it, its jobs run, its resources asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import anyio.to_thread
import msgspec
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from adapters.dicom.network.negotiate import Agreed
from adapters.dicom.network.peer import Peer
from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation import computed_tomography as simulate
from adapters.dicom.storage.store import Archive, Reception
from adapters.dicom.studies import expunge, fold, notes
from fhir_server.caller import trusted
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.validation.structure import Validator

CALLER = trusted("test", "rest")
SYSTEM = "urn:sangam:patient-id"
KINDS = {"dicom.fold": fold.run, "dicom.note": notes.run, expunge.KIND: expunge.run}


PEER = Peer("127.0.0.1", "MODALITY", "SANGAM")


@dataclass(frozen=True)
class Held:
    """The archive of a server, as tests use it; `store` is where instances go."""

    server: Server
    store: Archive

    async def send(self, *instances: Instance, fold: bool = True) -> list[int]:
        """Send instances and return the statuses; then do the jobs."""
        statuses = await anyio.to_thread.run_sync(self._send, instances)
        if fold:
            await self.work()
        return statuses

    def _send(self, instances: Sequence[Instance]) -> list[int]:
        return [self._store(one) for one in instances]

    def _store(self, one: Instance) -> int:
        context = Agreed(1, one.sop_class_uid, one.transfer_syntax_uid, storage=True)
        reception = Reception(self.store, PEER, context, one.sop_instance_uid)
        reception.write(memoryview(one.data_set))
        return reception.finish().status

    async def work(self) -> None:
        """Do the jobs of studies that are ready, and those that come of them."""
        while True:
            async with self.server.database.statement() as connection:
                cursor = await connection.execute(
                    "DELETE FROM job WHERE state = 'ready' AND due_at <= now() AND kind = ANY(%s) "
                    "RETURNING kind, payload",
                    (list(KINDS),),
                )
                ready = await cursor.fetchall()
            if not ready:
                return
            for kind, payload in ready:
                await KINDS[kind](self.server, payload)

    async def found(self, url: str) -> list[dict[str, Any]]:
        async with self.server.database.transaction() as connection:
            [outcome] = await transaction(self.server, connection, CALLER, [Entry("GET", url)])
        bundle = msgspec.json.decode(outcome.body or b"")
        return [entry["resource"] for entry in bundle.get("entry", ())]

    async def put(self, resource: dict[str, Any]) -> str:
        """Store a resource, under its id if it has one, and return its literal reference."""
        kind, id_ = resource["resourceType"], resource.get("id")
        entry = Entry("PUT", f"{kind}/{id_}", resource) if id_ else Entry("POST", kind, resource)
        async with self.server.database.transaction() as connection:
            [outcome] = await transaction(self.server, connection, CALLER, [entry])
        return f"{outcome.type}/{outcome.id}"

    async def study(self, seed: int = 1) -> dict[str, Any]:
        """Return the ImagingStudy of a simulated study, which is valid."""
        [one] = await self.found(study_url(seed))
        check(self.server.validator, one)
        return one

    async def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        async with self.server.database.statement() as connection:
            cursor = await connection.execute(sql, values)
            return list(await cursor.fetchall()) if cursor.description else []


def check(validator: Validator, resource: dict[str, Any]) -> None:
    """Fail unless a resource is valid R4."""
    raw = json.encode(resource)
    issues = validator.validate(resource["resourceType"], raw, json.decode(raw))
    assert [one for one in issues if one.severity in {"error", "fatal"}] == []


def study_url(seed: int) -> str:
    return f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{study_uid(seed)}"


def study_uid(seed: int = 1) -> str:
    return simulate.uid(seed, "study")


def instances(seed: int = 1, slices: int = 3, **changes: Any) -> list[Instance]:
    return list(simulate.instances(simulate.Study(seed, slices, size=8, **changes)))


def image(
    uid: str,
    *,
    study: str = "1.2.1",
    series: str = "1.2.1.1",
    sop_class: str = "1.2.840.10008.5.1.4.1.1.7",
    syntax: str = "1.2.840.10008.1.2.1",
    **attributes: Any,
) -> Instance:
    """Return an instance with these attributes, items of sequences as dicts."""
    said = {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": uid,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
        "Modality": "OT",
        **attributes,
    }
    made = _data_set(said)
    buffer = BytesIO()
    stream = DicomIO(buffer)
    stream.is_little_endian, stream.is_implicit_VR = True, syntax == "1.2.840.10008.1.2"
    write_dataset(stream, made)
    return Instance(sop_class, uid, syntax, buffer.getvalue())


def _data_set(said: dict[str, Any]) -> Dataset:
    made = Dataset()
    for keyword, value in said.items():
        items = isinstance(value, list) and value and isinstance(value[0], dict)
        setattr(made, keyword, [_data_set(one) for one in value] if items else value)
    return made


def note(code: str, *instances: Instance, study: str = "1.2.1", uid: str = "1.9.1") -> Instance:
    """Return a rejection note about instances of one series."""
    parsed = [dcmread(BytesIO(one.data_set), force=True) for one in instances]
    listed = {
        "StudyInstanceUID": str(parsed[0].StudyInstanceUID),
        "ReferencedSeriesSequence": [
            {
                "SeriesInstanceUID": str(parsed[0].SeriesInstanceUID),
                "ReferencedSOPSequence": [
                    {
                        "ReferencedSOPClassUID": one.sop_class_uid,
                        "ReferencedSOPInstanceUID": one.sop_instance_uid,
                    }
                    for one in instances
                ],
            }
        ],
    }
    title = {"CodeValue": code, "CodingSchemeDesignator": "DCM", "CodeMeaning": "Rejected"}
    return image(
        uid,
        study=study,
        series="1.9",
        sop_class="1.2.840.10008.5.1.4.1.1.88.59",
        Modality="KO",
        ConceptNameCodeSequence=[title],
        CurrentRequestedProcedureEvidenceSequence=[listed],
    )
