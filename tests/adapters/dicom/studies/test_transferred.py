"""What is recorded of studies that leave."""

from adapters.dicom.studies import transferred
from tests.adapters.dicom.studies.archive import Held, check


async def test_each_study_that_left_has_an_audit_event(archive: Held) -> None:
    job = transferred.job(["1.2.1", "1.2.2", "1.2.1"], "WS at 10.0.0.1 to PACS", "move")
    await transferred.run(archive.server, job.payload)
    found = await archive.found("AuditEvent?type=110104")
    for one in found:
        check(archive.server.validator, one)
    told = {one["entity"][0]["what"]["identifier"]["value"]: one for one in found}
    assert sorted(told) == ["urn:oid:1.2.1", "urn:oid:1.2.2"]
    for one in found:
        assert one["agent"][0]["name"] == "WS at 10.0.0.1 to PACS"
        assert one["subtype"][0]["code"] == "move"
        assert one["recorded"] == job.payload["at"]
