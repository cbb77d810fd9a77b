import contextlib
import random
import re
from collections.abc import Callable
from time import process_time
from typing import Any

import pytest

from fhir_server.config import Limits
from fhir_server.errors import BadRequest, SangamError, TooLarge
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.r4.xml import from_xml, to_xml

LIMITS = Limits()
FHIR = 'xmlns="http://hl7.org/fhir"'
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


def patient(content: str) -> bytes:
    return f"<Patient {FHIR}>{content}</Patient>".encode()


def read(raw: bytes, limits: Limits = LIMITS) -> dict[str, Any]:
    return from_xml(load(), raw, limits)


def refused(raw: bytes, limits: Limits = LIMITS) -> tuple[str, str, str | None]:
    with pytest.raises(SangamError) as caught:
        read(raw, limits)
    issue = caught.value.issues[0]
    assert caught.value.status == 400
    return issue.code, re.sub(r" \(line.*\)", "", issue.text), issue.expression


@pytest.mark.parametrize(
    ("xml", "members"),
    [
        ('<id value="a"/>', {"id": "a"}),
        ('<active value="true"/>', {"active": True}),
        ('<multipleBirthInteger value="+2"/>', {"multipleBirthInteger": 2}),
        (
            '<name id="n"><given value="A"/><given value="B"/></name>',
            {"name": [{"id": "n", "given": ["A", "B"]}]},
        ),
        (
            '<birthDate id="b" value="2000"><extension url="u"><valueCode value="c"/></extension>\
</birthDate>',
            {
                "birthDate": "2000",
                "_birthDate": {"id": "b", "extension": [{"url": "u", "valueCode": "c"}]},
            },
        ),
        (
            '<birthDate><extension url="u"><valueCode value="c"/></extension></birthDate>',
            {"_birthDate": {"extension": [{"url": "u", "valueCode": "c"}]}},
        ),
        (
            '<name><given value="A"/><given id="2"/><given value="C" id="3"/></name>',
            {"name": [{"given": ["A", None, "C"], "_given": [None, {"id": "2"}, {"id": "3"}]}]},
        ),
        (
            '<name><given id="1" value="A"/><given value="B"/></name>',
            {"name": [{"given": ["A", "B"], "_given": [{"id": "1"}, None]}]},
        ),
        ('<name><given id="1"/></name>', {"name": [{"_given": [{"id": "1"}]}]}),
        (
            "<contained><Goal><id value='c'/></Goal></contained><contained><List/></contained>",
            {
                "contained": [
                    {"resourceType": "Goal", "id": "c"},
                    {"resourceType": "List"},
                ]
            },
        ),
        ("<!-- a comment -->\r\n\t <id value='a'></id>", {"id": "a"}),
        ('<language value="a&#10;b&amp;&#x1F600;"/>', {"language": "a\nb&\U0001f600"}),
        ('<active value="yes"/>', {"active": "yes"}),
        ('<multipleBirthInteger value="2.0"/>', {"multipleBirthInteger": "2.0"}),
    ],
)
def test_members_have_the_shape_of_json(xml: str, members: dict[str, Any]) -> None:
    assert read(patient(xml)) == {"resourceType": "Patient", **members}


@pytest.mark.parametrize(
    "literal",
    ["1.40", "105.00", "1.0e2", "1E-245", "0.0000000100", "-0", "0", "17", "-0.50", "100000000000"],
)
def test_decimals_keep_their_literal(literal: str) -> None:
    xml = f'<Observation {FHIR}><valueQuantity><value value="{literal}"/></valueQuantity>'
    data = read(f"{xml}</Observation>".encode())
    assert json.encode(data) == (
        f'{{"resourceType":"Observation","valueQuantity":{{"value":{literal}}}}}'.encode()
    )
    assert f'<value value="{literal}"/>'.encode() in to_xml(load(), data)


@pytest.mark.parametrize("text", ["+1.0", "01", "1.", ".5", "NaN", "1e", "\u0663"])
def test_a_decimal_that_is_none_stays_a_text_for_the_validator(text: str) -> None:
    xml = f'<Observation {FHIR}><valueQuantity><value value="{text}"/></valueQuantity>'
    assert read(f"{xml}</Observation>".encode())["valueQuantity"] == {"value": text}


def test_members_come_in_the_order_of_their_elements() -> None:
    data = read(patient('<id value="a"/><active value="true"/><gender value="male"/>'))
    assert list(data) == ["resourceType", "id", "active", "gender"]


@pytest.mark.parametrize(
    ("div", "text"),
    [
        (f"{DIV}a&#160;<b>c</b></div>", f"{DIV}a&#160;<b>c</b></div>"),
        (f"{DIV}\r\n<!-- c --><br/>\r</div >", f"{DIV}\n<!-- c --><br/>\n</div >"),
        (
            '<div xmlns="http://www.w3.org/1999/xhtml"/>',
            '<div xmlns="http://www.w3.org/1999/xhtml"/>',
        ),
        (f"{DIV}<br/></div>", f"{DIV}<br/></div>"),
        (
            '<h:div><h:p lang="a&quot;">x &lt; y</h:p></h:div>',
            f"{DIV}<p lang='a\"'>x &lt; y</p></div>",
        ),
        ('<h:div xml:lang="en"/>', '<div xmlns="http://www.w3.org/1999/xhtml" xml:lang="en"/>'),
    ],
)
def test_a_narrative_is_kept_as_text_with_its_namespace(div: str, text: str) -> None:
    xml = f'<Patient {FHIR} xmlns:h="http://www.w3.org/1999/xhtml"><text>{div}</text></Patient>'
    assert read(xml.encode())["text"] == {"div": text}


def test_prefixes_mean_nothing() -> None:
    xml = (
        '<f:Patient xmlns:f="http://hl7.org/fhir" xmlns="http://www.w3.org/1999/xhtml">'
        '<f:text><f:status value="empty"/><div>x</div></f:text></f:Patient>'
    )
    assert read(xml.encode()) == {
        "resourceType": "Patient",
        "text": {"status": "empty", "div": f"{DIV}x</div>"},
    }


@pytest.mark.parametrize(
    ("xml", "text", "place"),
    [
        ('<nickname value="x"/>', "The element is not known here", "Patient.nickname"),
        (
            '<name><given value="x"/></name><name><x/></name>',
            "The element is not known here",
            "Patient.name[1].x",
        ),
        (
            "<contained><Patient><name/></Patient></contained>",
            "The element has no content",
            "Patient.contained[0].name[0]",
        ),
        (
            '<birthDate value="2000" unit="d"/>',
            "The element has an attribute that is not known",
            "Patient.birthDate",
        ),
        (
            '<name use="usual"/>',
            "The element has an attribute that is not known",
            "Patient.name[0]",
        ),
        ('<name xmlns="urn:x"/>', "The element has another namespace", "Patient.name"),
        (
            "<text><div>x</div></text>",
            "The element has another namespace",
            "Patient.text.div",
        ),
        (
            '<gender value="male"/><active value="true"/>',
            "The element is not in its order",
            "Patient.active",
        ),
        ('<id value="a"/><id value="a"/>', "The element may not repeat", "Patient.id"),
        ("<name/>", "The element has no content", "Patient.name[0]"),
        ("<name><given/></name>", "The element has no content", "Patient.name[0].given[0]"),
        ('<id value="a">b</id>', "There must be no text between elements", "Patient.id"),
        (
            "<name><![CDATA[b]]></name>",
            "There must be no text between elements",
            "Patient.name[0]",
        ),
        (
            "<contained><Patient/><Patient/></contained>",
            "There must be one resource here",
            "Patient.contained[0]",
        ),
        ("<contained/>", "The element has no content", "Patient.contained[0]"),
        (
            "<contained><Meta/></contained>",
            "The element is not a resource of R4",
            "Patient.contained[0]",
        ),
        (
            '<deceasedDateTime value="2000"><extension/></deceasedDateTime>',
            "The element has no content",
            "Patient.deceased.ofType(dateTime).extension[0]",
        ),
    ],
)
def test_what_r4_does_not_know_is_refused_with_its_place(xml: str, text: str, place: str) -> None:
    assert refused(patient(xml)) == ("structure", text, place)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "The text is not well-formed XML"),
        (b"{}", "The text is not well-formed XML"),
        (patient("")[:-1], "The text is not well-formed XML"),
        (patient("") + b"<a/>", "The text is not well-formed XML"),
        (patient('<id value="a" value="b"/>'), "The text is not well-formed XML"),
        (patient('<id value="&nbsp;"/>'), "The text is not well-formed XML"),
        (patient('<id value="\x01"/>'), "The text is not well-formed XML"),
        (patient("<f:id/>"), "The text is not well-formed XML"),
        (patient('<id value="@"/>').replace(b"@", b"\xe9"), "The text is not well-formed XML"),
        (patient("").decode().encode("utf-16"), "XML must be in UTF-8"),
        (patient("").decode().encode("utf-16be"), "XML must be in UTF-8"),
        (b'<?xml version="1.0" encoding="latin-1"?>' + patient(""), "XML must be in UTF-8"),
        (b"<Patient/>", "A resource must be in the namespace http://hl7.org/fhir"),
        (b'<Patient xmlns="http://hl7.org/fhir/"/>', "A resource must be in the namespace http://hl7.org/fhir"),
        (f"<Quantity {FHIR}/>".encode(), "The element is not a resource of R4"),
        (f"<patient {FHIR}/>".encode(), "The element is not a resource of R4"),
        (
            f'<Patient {FHIR} xmlns:i="http://www.w3.org/2001/XMLSchema-instance" '
            'i:schemaLocation="http://hl7.org/fhir file:///etc/passwd"/>'.encode(),
            "The element has an attribute that is not known",
        ),
        (b"<!DOCTYPE Patient>" + patient(""), "XML must not have a document type"),
        (
            b'<!DOCTYPE Patient SYSTEM "file:///etc/passwd">' + patient(""),
            "XML must not have a document type",
        ),
        (
            b'<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
            + patient(f"<text>{DIV}&x;</div></text>"),
            "XML must not have a document type",
        ),
        (
            b'<!DOCTYPE p [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>'
            + patient('<id value="&c;"/>'),
            "XML must not have a document type",
        ),
        (
            b'<?xml-stylesheet href="http://example.org/x.xsl"?>' + patient(""),
            "XML must not have processing instructions",
        ),
        (patient("<?php exit ?>"), "XML must not have processing instructions"),
        (
            patient(f"<text>{DIV}<?php exit ?></div></text>"),
            "XML must not have processing instructions",
        ),
    ],
)  # fmt: skip
def test_hostile_or_broken_xml_is_refused(raw: bytes, text: str) -> None:
    assert refused(raw)[:2] == ("structure", text)


def test_a_narrative_that_needs_other_namespaces_is_refused() -> None:
    outer = f'<Patient {FHIR} xmlns:s="http://www.w3.org/2000/svg"><text>{DIV}'
    for inner in ("<s:svg/>", '<b s:y="z"/>'):
        assert refused(f"{outer}{inner}</div></text></Patient>".encode())[1] == (
            "A narrative must be in the namespace of XHTML"
        )


def nested(levels: int) -> bytes:
    opened = '<extension url="u">' * (levels - 2)
    closed = "</extension>" * (levels - 2)
    return patient(f'{opened}<valueCode value="c"/>{closed}')


def test_nesting_is_refused_beyond_its_cap() -> None:
    limits = Limits(json_depth=10)
    assert read(nested(10), limits)["resourceType"] == "Patient"
    assert refused(nested(11), limits)[1] == "The XML is nested too deeply"
    assert refused(nested(10_000))[1] == "The XML is nested too deeply"


def test_nesting_in_a_narrative_counts() -> None:
    limits = Limits(json_depth=10)
    for levels, good in ((8, True), (9, False)):
        inner = "<b>" * (levels - 1) + "</b>" * (levels - 1)
        raw = patient(f"<text>{DIV}{inner}</div></text>")
        if good:
            assert read(raw, limits)["text"] == {"div": f"{DIV}{inner}</div>"}
        else:
            assert refused(raw, limits)[1] == "The XML is nested too deeply"


def test_long_strings_and_long_texts_are_refused() -> None:
    limits = Limits(string_bytes=60, bundle_bytes=400)
    assert read(patient(f'<id value="{60 * "x"}"/>'), limits)["id"] == 60 * "x"
    assert refused(patient(f'<id value="{61 * "x"}"/>'), limits)[::2] == ("too-long", "Patient.id")
    long = patient(f"<text>{DIV}{60 * 'x'}</div></text>")
    assert refused(long, limits)[::2] == ("too-long", "Patient.text.div")
    with pytest.raises(TooLarge):
        read(patient(" " * 400), limits)


def test_a_number_of_too_many_digits_is_refused() -> None:
    xml = f'<Observation {FHIR}><valueQuantity><value value="%s"/></valueQuantity></Observation>'
    for literal in ("1e999", "0." + 65 * "3", 65 * "3"):
        code, text, place = refused((xml % literal).encode())
        assert (code, text) == ("structure", "A number has too many digits")
        assert place == "Observation.value.ofType(Quantity).value"


@pytest.mark.parametrize(
    "raw",
    [
        patient("<name>" * 2_600_000),
        patient("<name><given value='x'/></name>" * 500_000),
        patient(f"<text>{DIV}{'<b/>' * 1_900_000}</div></text>"),
        patient("<!--" + "<" * 15_000_000 + "-->"),
        patient('<id value="' + "x" * 16_000_000 + '"/>'),
        patient("<id " + " ".join(f'a{i}="x"' for i in range(1_900_000)) + "/>"),
        patient(f"<text>{DIV}" + "&amp;" * 3_000_000 + "</div></text>"),
    ],
    ids=["open", "names", "tags", "comment", "value", "attributes", "escapes"],
)
def test_sixteen_hostile_megabytes_cost_little(raw: bytes) -> None:
    start = process_time()
    with contextlib.suppress(BadRequest):
        read(raw)
    assert process_time() - start < 30  # several times what it takes, for busy machines


def test_errors_name_no_value() -> None:
    secret = "Ramanujan"
    raws: list[Callable[[], bytes]] = [
        lambda: patient(f'<id value="{secret}"/><id value="x"/>'),
        lambda: patient(f'<name value="{secret}"/>'),
        lambda: patient(f'<id value="{secret}&x;"/>'),
        lambda: patient(f"<name>{secret}</name>"),
    ]
    for raw in raws:
        assert secret not in "".join(map(str, refused(raw())))


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_text_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    whole = patient(
        f'<id value="p"/><text><status value="empty"/>{DIV}<p>a &amp; b</p></div></text>'
        '<contained><Goal><id value="g"/></Goal></contained>'
        '<name id="n"><given value="A"><extension url="u"><valueCode value="c"/></extension>'
        '</given></name><birthDate value="2000"/>'
    )
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(damaged))
            other = rng.randrange(len(whole))
            damaged[at : at + rng.randint(0, 9)] = whole[other : other + rng.randint(0, 9)]
        try:
            data = read(bytes(damaged))
        except BadRequest:
            continue
        assert read(to_xml(load(), data)) == data
