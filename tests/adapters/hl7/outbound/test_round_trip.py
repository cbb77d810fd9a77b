"""What came in goes out with the same ids, codes, values, units, times and statuses."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.hl7.mapping.context import Profile
from adapters.hl7.mapping.transform import transform
from adapters.hl7.message.tokenizer import Message, parse
from adapters.hl7.outbound.messages import Draft, adt, oml, oru, oul, written
from adapters.hl7.outbound.peer import Peer, peer_of
from adapters.hl7.outbound.record import Json, Record
from adapters.hl7.outbound.segments.belongings import Belongings
from adapters.hl7.profiles.model import SourceProfile

BASE = "http://b"
MSH = "MSH|^~\\&|LAB|HOSP|HIS|HOSP|20260110080000+0530||{kind}|M1|P|2.5.1|||||||UNICODE UTF-8"
PERSON = (
    (
        "PID|1||4711^^^HOSP^MR~99-1^^^&1.2.3&ISO^PI||Rao^Asha^K^^Ms^^L||19800115|F|||12 Main St^^"
        "Pune^MH^411001^IN^H||^PRN^PH^^91^20^1234567|^WPN^PH^^^^5551234||||||||||Y|2||||20260101|Y"
    ),
    (
        "PV1|1|I|W1^101^B^HOSP^^^^2||||1234^Doc^Ann^^^Dr^^^HOSP|55^Ref^Rob^^^^^^HOSP|||||||||||"
        "V100^^^HOSP^VN|||||||||||||||||||||||||20260109100000+0530"
    ),
)
ORDER = "P-1^HIS|F-1^LAB"
RESULT = (
    *PERSON,
    f"ORC|RE|{ORDER}||CM|||||||1234^Doc^Ann^^^Dr^^^HOSP",
    (
        f"OBR|1|{ORDER}|24323-8^CMP^LN|||20260110073000+0530|20260110074000+0530||||||||"
        "1234^Doc^Ann^^^Dr^^^HOSP||||||20260110080000+0530||LAB|F"
    ),
    "NTE|1||report note",
    (
        "OBX|1|NM|2345-7^Glucose^LN^GLU^Gluc^L|1|5.40|mmol/L|3.9-6.1|N|||F|||20260110074500+0530||"
        "77^Tech^Tom||AN1^^1.2.9^ISO|20260110074600+0530"
    ),
    "NTE|1||haemolysed \\T\\ pale",
    "OBX|2|NM|777-3^Plt^LN||250|K/uL||H~A|||F",
    "OBX|3|SN|33914-3^GFR^LN||>^60|mL/min|||||F",
    "OBX|4|SN|1-2^Titre^LN||^1^:^128||||||F",
    "OBX|5|SN|1-3^Cells^LN||^2^-^4|/[HPF]|||||P",
    "OBX|6|CWE|600-7^Bact^LN|1|112283007^E coli^SCT||||||C",
    "OBX|7|FT|8251-1^Comment^LN||line a\\.br\\b \\S\\ \\T\\ \\F\\ c||||||A",
    "OBX|8|TS|1-1^When^L||20260110073000.25+0530||||||F",
    "OBX|9|DT|1-4^Day^L||202601||||||F",
    "OBX|10|TM|1-5^Clock^L||0730||||||F",
    "OBX|11|NM|2-2^Gone^LN||||||||X",
    "OBX|12|ED|11502-2^Report^LN||^AP^PDF^Base64^JVBERi0xLjQK||||||F",
    "SPM|1|S-1&HIS^S-1F&LAB||119297000^Blood^SCT|||||||||||||20260110072000+0530|20260110073500+0530",
)
NEW_ORDER = (
    *PERSON,
    "ORC|NW|P-1^HIS||G-1^HIS|||||20260110070000+0530|||1234^Doc^Ann^^^Dr^^^HOSP",
    "TQ1|1||||||20260110090000+0530||S",
    (
        "OBR|1|P-1^HIS||24323-8^CMP^LN||||||||||||1234^Doc^Ann^^^Dr^^^HOSP|||||||||||||||"
        "R73.9^Hyperglycaemia^I10"
    ),
    "NTE|1||fasting",
    "SPM|1|S-1&HIS||119297000^Blood^SCT",
)
ADMISSION = ("EVN||20260110080000+0530", *PERSON)
BELONGINGS = (
    "EVN||20260110080000+0530",
    PERSON[0],
    (
        "NK1|1|Rao^Ravi|SPO^Spouse^HL70063|1 Lane^^Pune^MH^411001^IN^H|^PRN^PH^^91^20^7654321|"
        "^WPN^PH^^^^5550000|EMC^^HL70131|20200101|||||||M|19780203"
    ),
    PERSON[1],
    "AL1|1|DA|P1^Penicillin^L|SV|Rash~Hives|2010",
    "AL1|2|FA|N1^Nuts^L|MI",
    (
        "DG1|1||R73.9^Hyperglycaemia^I10||20260109|A|||||||||2|1234^Doc^Ann^^^Dr^^^HOSP|||"
        "20260110070000+0530|D-1^HIS"
    ),
    "DG1|2||J45^Asthma^I10|||W",
    (
        "PR1|1||OP1^Appendectomy^L||20260109100000+0530|D|45|88^Sleep^Sue^^^^^^HOSP|||"
        "99^Cut^Carl^^^^^^HOSP||||R10^Pain^I10|M1||||||||"
    ),
    (
        "IN1|1|GOLD|C9^^^PAY^XX|Payer Ltd^^^^^PAYERS^XX^^^C9|1 Bank St^^Mumbai^^400001^IN||||||"
        "|20260101|20261231||PPO|Rao^Ravi|SPO|19780203|1 Lane^^Pune^MH^411001^IN^H|"
        + "|" * 16
        + "POL-7|||||||M||||||S99^^^INSURED^XX"
    ),
)
# Said in another place, or not at all: set ids, what the mapping does not keep.
_ELSEWHERE = {("PID", 33)}

Build = Callable[[dict[str, Json], Peer], Draft]


def peer(**said: Any) -> Peer:
    outbound = {"address": "x:1", **said.pop("outbound", {})}
    profile = SourceProfile(version="1", outbound=outbound, **said)
    return peer_of("LAB", BASE, profile, {})


def stored(text: str) -> tuple[Message, dict[str, Json]]:
    """Return a message and its resources by reference, as they would be stored."""
    message = parse(text)
    mapped = transform(message, Profile(base=BASE, sender="LAB", zone=UTC))
    found = {}
    for number, write in enumerate(mapped.writes):
        found[write.full_url] = {
            **write.resource,
            "id": f"i{number}",
            "meta": {"versionId": "1", "lastUpdated": "2026-01-10T02:30:00Z"},
        }
    for content in mapped.binaries:
        found[f"Binary/{content.resource['id']}"] = content.resource
    return message, found


def one(found: dict[str, Json], kind: str) -> Json:
    (resource,) = [each for each in found.values() if each["resourceType"] == kind]
    return resource


def leaves(message: Message) -> dict[tuple[str, int, int, int, int, int], str]:
    """Return the leaves that went into resources, by segment, occurrence and place."""
    found = {}
    for (index, number, repetition, component, sub), path in message.mapped.items():
        segment = message.segments[index]
        if segment.name in {"MSH", "EVN"} or (segment.name, number) in _ELSEWHERE:
            continue
        del path
        for rep in segment.repetitions(number):
            if rep.repetition == repetition:
                place = (segment.name, segment.occurrence, number, repetition, component, sub)
                found[place] = rep.peek(component, sub)
    return found


def at(message: Message, place: tuple[str, int, int, int, int, int]) -> str:
    name, occurrence, number, repetition, component, sub = place
    for segment in message.named(name):
        if segment.occurrence == occurrence:
            for rep in segment.repetitions(number):
                if rep.repetition == repetition:
                    return rep.peek(component, sub)
    return ""


@pytest.mark.parametrize(
    ("kind", "segments", "build"),
    [
        pytest.param(
            "ORU^R01^ORU_R01",
            RESULT,
            lambda found, to: oru(one(found, "DiagnosticReport"), Record(found), to),
            id="ORU_R01",
        ),
        pytest.param(
            "OML^O21^OML_O21",
            NEW_ORDER,
            lambda found, to: oml("OML^O21", "NW", one(found, "ServiceRequest"), Record(found), to),
            id="OML_O21",
        ),
        pytest.param(
            "ADT^A01^ADT_A01",
            ADMISSION,
            lambda found, to: adt(
                "A01", one(found, "Encounter"), Record(found), to, "2026-01-10T02:30:00Z"
            ),
            id="ADT_A01",
        ),
        pytest.param(
            "ADT^A01^ADT_A01",
            BELONGINGS,
            lambda found, to: adt(
                "A01",
                one(found, "Encounter"),
                Record(found),
                to,
                "2026-01-10T02:30:00Z",
                Belongings([each for each in found.values() if "id" in each]),
            ),
            id="ADT_A01_belongings",
        ),
    ],
)
def test_every_leaf_that_was_mapped_goes_out_where_it_came_in(
    kind: str, segments: tuple[str, ...], build: Build
) -> None:
    came, found = stored("\r".join([MSH.format(kind=kind), *segments]))
    went = parse(written(build(found, peer()), peer(), "C1", datetime.now(UTC)).decode())
    before = leaves(came)
    assert len(before) > 20
    assert {place: at(went, place) for place in before} == before


def test_what_went_out_comes_in_as_the_same_resources() -> None:
    _, found = stored("\r".join([MSH.format(kind="ORU^R01^ORU_R01"), *RESULT]))
    draft = oru(one(found, "DiagnosticReport"), Record(found), peer())
    _, again = stored(written(draft, peer(), "C1", datetime.now(UTC)).decode())

    def values(resources: dict[str, Json]) -> list[Any]:
        named = ("status", "code", "effectiveDateTime", "effectivePeriod", "interpretation")
        return [
            {name: part for name, part in each.items() if name in named or "value" in name}
            for each in resources.values()
            if each["resourceType"] == "Observation"
        ]

    assert values(again) == values(found)


def test_in_oul_the_specimen_is_first_and_orc_follows_obr() -> None:
    _, found = stored("\r".join([MSH.format(kind="ORU^R01^ORU_R01"), *RESULT]))
    draft = oul(one(found, "DiagnosticReport"), Record(found), peer())
    names = [segment.name for segment in draft.segments]
    assert names[:6] == ["PID", "PV1", "SPM", "OBR", "ORC", "NTE"]


def test_a_destination_reads_its_own_codes_units_and_authorities() -> None:
    _, found = stored("\r".join([MSH.format(kind="ORU^R01^ORU_R01"), *RESULT]))
    to = peer(
        codes={"OBX-3": {"PLT": "777-3^Platelets^LN"}},
        units={"x10e3": "10*3/uL"},
        authorities={"OWN": {"system": "urn:oid:1.2.3"}},
        outbound={"codes": {"http://loinc.org|2345-7": "SUGAR^Sugar^99H"}},
    )
    draft = oru(one(found, "DiagnosticReport"), Record(found), to)
    went = parse(written(draft, to, "C1", datetime.now(UTC)).decode())
    glucose, platelets = went.named("OBX")[:2]
    assert glucose.raw(3) == "SUGAR^Sugar^99H^2345-7^Glucose^LN"
    assert (platelets.raw(3), platelets.raw(6)) == (
        "PLT^Platelets^L^777-3^Plt^LN",
        "x10e3^^L^10*3/uL^^UCUM",
    )
    assert went.named("PID")[0].raw(3).split("~")[1] == "99-1^^^OWN^PI"


def test_a_status_that_was_changed_since_is_told_and_not_the_code_that_was_sent() -> None:
    _, found = stored("\r".join([MSH.format(kind="ORU^R01^ORU_R01"), *RESULT]))
    report = {**one(found, "DiagnosticReport"), "status": "corrected"}
    draft = oru(report, Record(found), peer())
    went = parse(written(draft, peer(), "C1", datetime.now(UTC)).decode())
    assert went.named("OBR")[0].raw(25) == "C"


def test_older_versions_have_no_spm_and_no_structure_in_the_type() -> None:
    to = peer(outbound={"version": "2.3"})
    _, found = stored("\r".join([MSH.format(kind="ORU^R01^ORU_R01"), *RESULT]))
    draft = oru(one(found, "DiagnosticReport"), Record(found), to)
    went = parse(written(draft, to, "C1", datetime.now(UTC)).decode())
    assert went.header.raw(9) == "ORU^R01"
    assert not went.named("SPM")
    assert [each.raw(2) for each in went.named("OBX") if each.raw(3).startswith("600-7")] == ["CE"]


def test_a_panel_of_components_is_an_obx_for_each() -> None:
    pressure = {
        "resourceType": "Observation",
        "id": "bp",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "component": [
            {
                "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                "valueQuantity": {"value": value, "unit": "mm[Hg]"},
            }
            for code, value in (("8480-6", 120), ("8462-4", 80))
        ],
    }
    went = parse(written(oru(pressure, Record(), peer()), peer(), "C1", datetime.now(UTC)).decode())
    told = [[each.raw(number) for number in (3, 4, 5, 6)] for each in went.named("OBX")]
    assert told == [["8480-6^^LN", "1.1", "120", "mm[Hg]"], ["8462-4^^LN", "1.2", "80", "mm[Hg]"]]
