"""The message Bundle: MSH and SFT, and what a message became."""

from typing import Any

import pytest

from adapters.hl7.mapping.message_bundle import message_bundle
from adapters.hl7.mapping.transform import transform
from adapters.hl7.message import accounting
from tests.adapters.hl7.fields import dig, header, segment
from tests.adapters.hl7.reading import BASE, IDS, PID, THO, message, profile

MSH = {
    "f2": "LIS",
    "f3": "LAB",
    "f4": "EHR",
    "f5": "HOSP",
    "f6": "20260102030405+0530",
    "f8": "ORU^R01^ORU_R01",
    "f9": "C1",
    "f10": "P",
    "f11": "2.5.1",
}


def bundle(*segments: str, **msh: str) -> dict[str, Any]:
    """Return the Bundle of a result; `f2` is MSH-3, as MSH-1 is the bar after the name."""
    first = segment("MSH", **{"f1": "^~\\&", **MSH, **msh})
    found = message(PID, "OBR|1||F1|PANEL", "OBX|1|NM|GLU||5|||||F", *segments, header=first)
    return message_bundle(found, profile(), transform(found, profile()))


def entries(found: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    said = (entry["resource"] for entry in found["entry"])
    return [resource for resource in said if resource["resourceType"] == kind]


@pytest.mark.parametrize(
    ("msh", "path", "expected"),
    [
        ({}, "source.name", "LIS"),
        ({}, "source._endpoint.extension.0.valueCode", "unknown"),
        ({"f2": "LIS^1.2.3.4^ISO"}, "source.endpoint", "urn:oid:1.2.3.4"),
        ({"f23": "N^http://lis/^URI"}, "source.endpoint", "http://lis/"),
        (
            {"f2": "LIS^1.2.3.4^ISO", "f23": "N^http://lis/^URI"},
            "source.endpoint",
            "urn:oid:1.2.3.4",
        ),
        ({}, "destination.0.name", "EHR"),
        ({"f24": "N^http://ehr/^URI"}, "destination.0.endpoint", "http://ehr/"),
        ({}, "eventCoding.system", f"{THO}/v2-0003"),
        ({}, "eventCoding.code", "R01"),
        ({}, "eventCoding.display", "ORU^R01^ORU_R01"),
        ({}, "meta.tag.0", {"system": f"{THO}/v2-0103", "code": "P"}),
        ({"f10": "P^A"}, "meta.tag.1", {"system": f"{THO}/v2-0207", "code": "A"}),
        ({"f7": "secret"}, "meta.security.0.code", "secret"),
        ({"f25": "R"}, "meta.security.0.code", "R"),
        ({"f18": "EN"}, "language", "en"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_msh_field_of_the_header(msh: dict[str, str], path: str, expected: Any) -> None:
    (found,) = entries(bundle(**msh), "MessageHeader")
    assert dig(found, path) == expected


def test_bundle_has_the_time_and_the_control_id() -> None:
    found = bundle()
    assert (found["type"], found["timestamp"]) == ("message", "2026-01-02T03:04:05+05:30")
    assert found["identifier"] == {"system": f"{IDS}/control-id", "value": "C1"}
    assert "timestamp" not in bundle(f6="20260102")


def test_sender_receiver_and_responsible_are_organizations() -> None:
    found = bundle(f16="IN", f21="Group^^G1^^^HOSP")
    names = {e["fullUrl"]: e["resource"].get("name") for e in found["entry"]}
    (header_,) = entries(found, "MessageHeader")
    references = (
        header_["sender"], header_["destination"][0]["receiver"], header_["responsible"],
    )  # fmt: skip
    assert [names[one["reference"]] for one in references] == ["LAB", "HOSP", "Group"]
    sender = next(one for one in entries(found, "Organization") if one["name"] == "LAB")
    assert sender["address"] == [{"country": "IN"}]


def test_software_is_a_device() -> None:
    found = bundle("SFT|Maker|7.1|Lab Suite|B9|notes|20260101")
    (device,) = entries(found, "Device")
    assert (device["manufacturer"], device["modelNumber"]) == ("Maker", "B9")
    assert device["deviceName"] == [{"name": "Lab Suite", "type": "manufacturer-name"}]
    assert device["version"][0]["value"] == "7.1"
    assert device["note"] == [{"text": "notes"}]
    (header_,) = entries(found, "MessageHeader")
    assert (header_["source"]["software"], header_["source"]["version"]) == ("Lab Suite", "7.1")


def test_focus_is_what_the_message_is_about() -> None:
    found = bundle()
    kinds = {e["fullUrl"]: e["resource"]["resourceType"] for e in found["entry"]}
    (header_,) = entries(found, "MessageHeader")
    assert {kinds[one["reference"]] for one in header_["focus"]} == {
        "DiagnosticReport",
        "ServiceRequest",
    }
    assert found["entry"][0]["resource"] is header_


def test_leaves_of_the_header_are_accounted_for_after_the_bundle() -> None:
    found = message(PID, "ORC|NW|O1", "OBR|1|||G", header=header("OML^O21"))
    mapped = transform(found, profile())
    assert ("MSH[1]-3[1].1.1", "no_target") in mapped.unmapped
    message_bundle(found, profile(), mapped)
    listed = {place for place, _ in accounting.unmapped(found)}
    assert not {f"MSH[1]-{n}[1].1.1" for n in (3, 4, 5, 6, 7, 9, 10, 11)} & listed


def test_answer_names_the_message_that_it_answers() -> None:
    (found,) = entries(bundle("MSA|AE|C0"), "MessageHeader")
    assert found["response"] == {"identifier": "C0", "code": "transient-error"}


def test_base_of_the_profile_begins_its_systems() -> None:
    assert bundle()["identifier"]["system"].startswith(BASE)
