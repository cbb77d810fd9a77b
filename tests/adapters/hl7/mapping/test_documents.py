"""MDM: each field of TXA, and the content of a document."""

import base64
from typing import Any

import pytest

from tests.adapters.hl7.fields import dig, header, segment
from tests.adapters.hl7.reading import IDS, PID, THO, mapped, resources

AUTHOR = "1^Au^A^^^^^^H"
TEXT = "OBX|1|TX|R^Report^L||a line"


def of(*segments: str, event: str = "T02", **txa: str) -> dict[str, Any]:
    """Return the DocumentReference of a message whose TXA has these fields."""
    said = segment("TXA", **{"f1": "1", "f2": "DS^Discharge^L", "f12": "D1^HIS", **txa})
    found = mapped(PID, said, *segments, header=header(f"MDM^{event}"))
    return resources(found, "DocumentReference")[0]


def data(item: dict[str, Any]) -> str:
    return base64.b64decode(item["attachment"]["data"]).decode()


@pytest.mark.parametrize(
    ("txa", "path", "expected"),
    [
        ({}, "masterIdentifier", {"system": f"{IDS}/HIS", "value": "D1"}),
        ({}, "type.coding.0.display", "Discharge"),
        ({"f6": "20260101120000"}, "date", "2026-01-01T12:00:00+05:30"),
        ({"f6": "2026010112"}, "date", "2026-01-01T12:00:00+05:30"),
        ({"f6": "2026010112"}, "_date.extension.0.valueString", "2026010112"),
        ({"f6": "20260101"}, "date", None),
        ({"f16": "a/b.pdf"}, "identifier.0.value", "a/b.pdf"),
        ({"f17": "AU"}, "docStatus", "final"),
        ({"f17": "LA"}, "docStatus", "final"),
        *(({"f17": code}, "docStatus", "preliminary") for code in ("DI", "DO", "IN", "IP", "PA")),
        ({"f18": "R"}, "securityLabel.0.coding.0", {"system": f"{THO}/v2-0272", "code": "R"}),
        ({}, "status", "current"),
        ({"f19": "AV"}, "status", "current"),
        ({"f19": "AV"}, "_status", None),
        ({"f19": "CA"}, "status", "entered-in-error"),
        ({"f19": "OB"}, "status", "superseded"),
        ({"f19": "UN"}, "status", "current"),
        ({"f19": "UN"}, "_status.extension.0.valueCodeableConcept.coding.0.code", "UN"),
        ({"f25": "A title"}, "description", "A title"),
        ({"f14": "O1^HIS"}, "context.related.0.identifier.value", "O1"),
        ({"f15": "F1^LIS"}, "context.related.0.identifier.value", "F1"),
        ({"f13": "D0^HIS"}, "relatesTo.0.target.identifier.value", "D0"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_txa_field_of_a_document(txa: dict[str, str], path: str, expected: Any) -> None:
    assert dig(of(TEXT, **txa), path) == expected


def test_people_of_a_document_are_author_and_authenticator() -> None:
    txa = segment("TXA", f1="1", f2="DS", f9="1^Au^A^^^^^^H", f10="2^Th^B^^^^^^H", f12="D1")
    found = mapped(PID, txa, TEXT, header=header("MDM^T02"))
    by_url = {write.full_url: write.resource for write in found.writes}
    (document,) = resources(found, "DocumentReference")
    people = (document["author"][0], document["authenticator"])
    names = [by_url[one["reference"]]["name"][0]["family"] for one in people]
    assert names == ["Au", "Th"]


@pytest.mark.parametrize(
    ("event", "code"), [("T02", "appends"), ("T06", "appends"), ("T10", "replaces")]
)
def test_parent_of_a_document(event: str, code: str) -> None:
    assert of(TEXT, event=event, f13="D0^HIS")["relatesTo"][0]["code"] == code


def test_cancelled_document_is_an_error() -> None:
    assert of(event="T11", f19="AV")["status"] == "entered-in-error"


def test_replacement_marks_the_document_that_it_replaces() -> None:
    txa = segment("TXA", f1="1", f2="DS", f12="D2^HIS", f13="D1^HIS")
    found = mapped(PID, txa, TEXT, header=header("MDM^T10"))
    old, new = sorted(
        (w for w in found.writes if w.resource["resourceType"] == "DocumentReference"),
        key=lambda write: write.resource["masterIdentifier"]["value"],
    )
    assert (old.resource["status"], new.resource["status"]) == ("superseded", "current")
    first = mapped(PID, segment("TXA", f2="DS", f12="D1^HIS"), TEXT, header=header("MDM^T02"))
    assert old.identity in {write.identity for write in first.writes}
    assert old.effect is not None
    assert old.effect({"status": "current", "description": "x"}, {}) == {
        "status": "superseded",
        "description": "x",
    }


def test_lines_of_one_name_are_one_text() -> None:
    found = of(TEXT, "OBX|2|TX|R^Report^L||second~third", "OBX|3|FT|S^Sum^L||other")
    assert [data(item) for item in found["content"]] == ["a line\nsecond\nthird", "other"]
    assert [item["attachment"]["title"] for item in found["content"]] == ["Report", "Sum"]
    kinds = {item["attachment"]["contentType"] for item in found["content"]}
    assert kinds == {"text/plain; charset=utf-8"}


def test_note_of_a_document_is_content() -> None:
    assert [data(item) for item in of(TEXT, "NTE|1||remark")["content"]] == ["a line", "remark"]


def test_encapsulated_data_and_links_are_content() -> None:
    found = of(
        "OBX|1|ED|P^Scan^L||^AP^PDF^Base64^JVBERi0xLjQK",
        "OBX|2|RP|L^Link^L||http://h/x^^AP^PDF",
    )
    pdf, link = (item["attachment"] for item in found["content"])
    assert (pdf["contentType"], pdf["size"], pdf["title"]) == ("application/pdf", 9, "Scan")
    assert (link["url"], link["contentType"]) == ("http://h/x", "application/pdf")


def test_long_document_is_a_binary() -> None:
    long = base64.b64encode(b"%PDF-" + b"x" * 5_000).decode()
    txa = segment("TXA", f1="1", f2="DS", f12="D1^HIS")
    pdf = f"OBX|1|ED|P^Scan^L||^AP^PDF^Base64^{long}"
    found = mapped(PID, txa, pdf, header=header("MDM^T02"))
    (document,) = resources(found, "DocumentReference")
    attachment = document["content"][0]["attachment"]
    assert "data" not in attachment
    assert (attachment["url"].split("/")[0], attachment["size"]) == ("Binary", 5_005)


def test_value_that_is_no_part_of_the_text_is_an_observation() -> None:
    txa = segment("TXA", f1="1", f2="DS", f12="D1^HIS")
    found = mapped(PID, txa, TEXT, "OBX|2|NM|W^Weight^L||70|kg", header=header("MDM^T02"))
    (document,) = resources(found, "DocumentReference")
    by_url = {write.full_url: write.resource["resourceType"] for write in found.writes}
    (related,) = document["context"]["related"]
    assert by_url[related["reference"]] == "Observation"


def test_announced_document_has_its_title_and_kind_as_content() -> None:
    found = of(event="T01", f3="TX", f25="Letter")
    assert found["content"] == [{"attachment": {"contentType": "text/plain", "title": "Letter"}}]


def test_notice_leaves_the_stored_content() -> None:
    txa = segment("TXA", f1="1", f2="DS", f12="D1^HIS", f17="LA")
    found = mapped(PID, txa, header=header("MDM^T03"))
    (write,) = (w for w in found.writes if w.resource["resourceType"] == "DocumentReference")
    assert write.effect is not None
    stored = {"status": "superseded", "content": [{"attachment": {"url": "Binary/1"}}]}
    updated = write.effect(stored, write.resource)
    assert (updated["content"], updated["status"]) == (stored["content"], "superseded")
    assert updated["docStatus"] == "final"


def test_order_of_a_document_is_what_it_relates_to() -> None:
    found = mapped(
        PID,
        "ORC|RE|O1^HIS",
        "OBR|1|O1^HIS||X^Scan^L",
        segment("TXA", f1="1", f2="DS", f12="D1"),
        TEXT,
        header=header("MDM^T02"),
    )
    (document,) = resources(found, "DocumentReference")
    by_url = {write.full_url: write.resource["resourceType"] for write in found.writes}
    assert [by_url[one["reference"]] for one in document["context"]["related"]] == [
        "ServiceRequest"
    ]


def test_edit_of_a_document_is_its_provenance() -> None:
    txa = segment(
        "TXA", f1="1", f2="DS", f8="20260103100000", f9="1^Au^A^^^^^^H", f12="D1", f21="typo"
    )
    (told,) = resources(mapped(PID, txa, TEXT, header=header("MDM^T08")), "Provenance")
    assert told["recorded"] == "2026-01-03T10:00:00+05:30"
    assert told["reason"] == [{"text": "typo"}]
    assert told["agent"][0]["type"]["coding"][0]["code"] == "author"
