"""Isolates and their susceptibilities, in one order, one message or several."""

from typing import Any

import pytest

from adapters.hl7.mapping.transform import Mapped
from tests.adapters.hl7.reading import IDS, KEY, PID, THO, mapped, resources

CULTURE = "OBR|1|O1|F1|CULT^Blood culture^L|||20260101120000"
SPM = "SPM|1|S1^||BLD^Blood^HL70487"
ECOLI = "OBX|1|CWE|600-7^Bacteria^LN|1|112283007^Escherichia coli^SCT||||||F"
STAPH = "OBX|2|CWE|600-7^Bacteria^LN|2|3092008^Staphylococcus aureus^SCT||||||F"
SUSC = (
    "OBR|2|O2|F2|SUSC^Susceptibility^L|||20260101120000|||||||||||||||||||"
    "600-7&Bacteria&LN^{sub}^Escherichia coli|||{parent}"
)
AMPI = "OBX|1|NM|28-1^Ampicillin^LN|1|>=32|ug/mL||R|||F"
CIPRO = "OBX|2|NM|185-9^Ciprofloxacin^LN|1|0.25|ug/mL||S|||F"


def susc(sub: str = "1", parent: str = "O1^F1") -> str:
    return SUSC.format(sub=sub, parent=parent)


def by_code(found: Mapped) -> dict[tuple[str, str], tuple[str, dict[str, Any]]]:
    """Return (full URL, resource) of each Observation by code and sub-id."""
    return {
        (w.resource["code"]["coding"][0]["code"], sub_id(w.resource)): (w.full_url, w.resource)
        for w in found.writes
        if w.resource["resourceType"] == "Observation"
    }


def sub_id(resource: dict[str, Any]) -> str:
    for extension in resource.get("extension", ()):
        if extension["url"].endswith("observation-v2-subid"):
            return str(extension["extension"][0]["valueString"])
    return ""


def test_susceptibilities_follow_from_the_isolate_of_the_message() -> None:
    found = mapped(PID, CULTURE, ECOLI, STAPH, SPM, susc(), AMPI, CIPRO)
    results = by_code(found)
    isolate_url, isolate = results["600-7", "1"]
    children = [results["28-1", "1"], results["185-9", "1"]]
    assert isolate["hasMember"] == [{"reference": url} for url, _ in children]
    assert [child["derivedFrom"] for _, child in children] == [[{"reference": isolate_url}]] * 2
    assert "hasMember" not in results["600-7", "2"][1]
    assert [child["interpretation"][0]["coding"][0]["code"] for _, child in children] == ["R", "S"]
    culture, order = resources(found, "ServiceRequest")
    urls = {id(w.resource): w.full_url for w in found.writes}
    assert order["basedOn"] == [{"reference": urls[id(culture)]}]
    assert found.links == ()
    assert len(resources(found, "DiagnosticReport")) == 2


def test_sub_id_tells_isolates_of_one_message_apart() -> None:
    found = by_code(mapped(PID, CULTURE, ECOLI, STAPH, susc("2"), AMPI))
    assert found["28-1", "1"][1]["derivedFrom"] == [{"reference": found["600-7", "2"][0]}]
    assert "hasMember" not in found["600-7", "1"][1]


def test_isolate_is_a_specimen_of_its_own() -> None:
    found = mapped(PID, CULTURE, ECOLI, SPM, susc(), AMPI, SPM)
    blood, isolate = resources(found, "Specimen")
    assert isolate["type"] == {"coding": [{"system": f"{THO}/v2-0487", "code": "ISLT"}]}
    urls = {id(w.resource): w.full_url for w in found.writes}
    assert isolate["parent"] == [{"reference": urls[id(blood)]}]
    results = by_code(found)
    assert results["28-1", "1"][1]["specimen"] == {"reference": urls[id(isolate)]}
    assert results["600-7", "1"][1]["specimen"] == {"reference": urls[id(blood)]}


def test_isolate_that_was_sent_is_not_made_again() -> None:
    sent = "SPM|1|S2^|S1^|ISLT^Isolate^HL70487"
    found = mapped(PID, CULTURE, ECOLI, SPM, susc(), AMPI, sent)
    codes = [s["type"]["coding"][0]["code"] for s in resources(found, "Specimen")]
    assert codes == ["BLD", "ISLT"]


@pytest.mark.parametrize("parent", ["O1^F1", "O1^", "^F1"], ids=["both", "placer", "filler"])
def test_parent_of_another_message_is_found_by_either_number(parent: str) -> None:
    before = by_code(mapped(PID, CULTURE, ECOLI))["600-7", "1"][1]
    keys = {i["value"] for i in before["identifier"] if i["system"] == KEY}
    after = mapped(PID, susc(parent=parent), AMPI)
    child_url, child = by_code(after)["28-1", "1"]
    (reference,) = child["derivedFrom"]
    assert reference["display"] == "Escherichia coli"
    assert reference["identifier"]["value"] in keys
    links = [link for link in after.links if link.type == "Observation"]
    assert [(link.full_url, link.element, link.inverse) for link in links] == [
        (child_url, "derivedFrom", False), (child_url, "hasMember", True),
    ]  # fmt: skip
    assert all(link.identity[0].split("|")[1] in keys for link in links)


def test_sub_id_tells_isolates_of_another_message_apart() -> None:
    before = by_code(mapped(PID, CULTURE, ECOLI, STAPH))
    keys = {i["value"] for i in before["600-7", "2"][1]["identifier"]}
    child = by_code(mapped(PID, susc("2"), AMPI))["28-1", "1"][1]
    assert child["derivedFrom"][0]["identifier"]["value"] in keys


def test_parent_is_found_by_its_text_where_codes_differ() -> None:
    obr = susc().replace("600-7&Bacteria&LN", "ORG&Organism&L")
    found = by_code(mapped(PID, CULTURE, ECOLI, STAPH, obr, AMPI))
    assert found["28-1", "1"][1]["derivedFrom"] == [{"reference": found["600-7", "1"][0]}]


def test_parent_of_another_message_is_found_by_its_text_where_codes_differ() -> None:
    before = by_code(mapped(PID, CULTURE, ECOLI))["600-7", "1"][1]
    keys = {i["value"] for i in before["identifier"] if i["system"] == KEY}
    after = mapped(PID, susc().replace("600-7&Bacteria&LN", "ORG&Organism&L"), AMPI)
    (link, _) = [link for link in after.links if link.type == "Observation"]
    assert [token.split("|")[1] in keys for token in link.identity] == [False, False, True, True]


def test_parent_order_of_orc_8_counts() -> None:
    orc = "ORC|RE|O2|F2|||||O1^F1"
    found = by_code(mapped(PID, "ORC|RE|O1|F1", CULTURE, ECOLI, orc, susc(parent=""), AMPI))
    assert found["28-1", "1"][1]["derivedFrom"] == [{"reference": found["600-7", "1"][0]}]


def test_child_without_a_named_parent_result_only_follows_its_order() -> None:
    found = mapped(PID, f"OBR|2|O2|F2|SUSC{'|' * 25}O1^F1", AMPI)
    assert "derivedFrom" not in by_code(found)["28-1", "1"][1]
    (request,) = resources(found, "ServiceRequest")
    assert [b["identifier"]["system"] for b in request["basedOn"]] == [
        f"{IDS}/placer", f"{IDS}/filler",
    ]  # fmt: skip


def test_child_order_is_a_reflex_order() -> None:
    found = mapped(PID, CULTURE, ECOLI, susc(), AMPI)
    assert [r["intent"] for r in resources(found, "ServiceRequest")] == ["order", "reflex-order"]


WITHIN = ("1", "1.1", "1.2", "2", "2.1")


def within(*subs: str, grouping: str) -> list[tuple[int, int]]:
    """Return (parent, child) by position of the results of one order with these sub-ids."""
    lines = [
        f"OBX|{n}|{'CWE' if sub in heads else 'NM'}|T{n}|{sub}|{'X^x' if sub in heads else n}"
        "|||S|||F"
        for heads in [("1", "2", "^1^1", "^2^1")]
        for n, sub in enumerate(subs)
    ]
    found = mapped(PID, CULTURE, *lines, subid_grouping=grouping)
    writes = [w for w in found.writes if w.resource["resourceType"] == "Observation"]
    at = {w.full_url: n for n, w in enumerate(writes)}
    return [
        (n, at[member["reference"]])
        for n, w in enumerate(writes)
        for member in w.resource.get("hasMember", ())
    ]


def test_sub_ids_with_a_prefix() -> None:
    assert within(*WITHIN, grouping="prefix") == [(0, 1), (0, 2), (3, 4)]


def test_sub_ids_with_groups() -> None:
    groups = ("^1^1", "^1^2", "^2^1", "^2^2")
    assert within(*groups, grouping="OG") == [(0, 1), (2, 3)]


def test_sub_ids_are_not_read_unless_that_is_agreed() -> None:
    assert within(*WITHIN, grouping="none") == []
