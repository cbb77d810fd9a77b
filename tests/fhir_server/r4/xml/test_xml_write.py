from typing import Any

import pytest

from fhir_server.errors import NotAcceptable
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.r4.xml import to_xml

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
FHIR = 'xmlns="http://hl7.org/fhir"'
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


def written(data: dict[str, Any]) -> str:
    text = to_xml(load(), data).decode()
    start, end = f"{DECLARATION}<Patient {FHIR}>", "</Patient>"
    assert text.startswith(start)
    assert text.endswith(end)
    return text[len(start) : -len(end)]


@pytest.mark.parametrize(
    ("members", "xml"),
    [
        ({"active": False, "id": "a"}, '<id value="a"/><active value="false"/>'),
        (
            {"name": [{"given": ["A", "B"], "id": "n"}, {"id": "m"}]},
            '<name id="n"><given value="A"/><given value="B"/></name><name id="m"/>',
        ),
        (
            {"name": [{"given": ["A", None], "_given": [None, {"id": "2"}]}]},
            '<name><given value="A"/><given id="2"/></name>',
        ),
        (
            {"name": [{"given": ["A", "B"], "_given": [{"id": "1"}]}]},
            '<name><given id="1" value="A"/><given value="B"/></name>',
        ),
        (
            {"_birthDate": {"extension": [{"valueCode": "c", "url": 'a"b'}]}},
            '<birthDate><extension url="a&quot;b"><valueCode value="c"/></extension></birthDate>',
        ),
        (
            {"birthDate": "2000", "_birthDate": {"id": "b"}},
            '<birthDate id="b" value="2000"></birthDate>',
        ),
        (
            {"contained": [{"resourceType": "Group"}, {"resourceType": "List", "id": "c"}]},
            '<contained><Group/></contained><contained><List><id value="c"/></List></contained>',
        ),
        (
            {"language": "<a>\t\r\n&\"'\U0001f600"},
            '<language value="&lt;a>&#9;&#13;&#10;&amp;&quot;\'\U0001f600"/>',
        ),
        (
            {"text": {"div": f"{DIV}a&nbsp;b&eacute;&amp;</div>", "status": "empty"}},
            f'<text><status value="empty"/>{DIV}a&#160;b&#233;&amp;</div></text>',
        ),
    ],
)
def test_members_are_written_in_the_order_of_the_definition(
    members: dict[str, Any], xml: str
) -> None:
    got = written({"resourceType": "Patient", **members})
    assert got.replace("></birthDate>", "/>") == xml.replace("></birthDate>", "/>")


def test_an_empty_resource_is_one_tag() -> None:
    assert to_xml(load(), {"resourceType": "Patient"}).decode() == (
        f"{DECLARATION}<Patient {FHIR}/>"
    )


@pytest.mark.parametrize("literal", ["1.40", "1.0e2", "0.0000000100", "-0.0", "7"])
def test_decimals_keep_their_literal(literal: str) -> None:
    raw = f'{{"resourceType":"Observation","valueQuantity":{{"value":{literal}}}}}'.encode()
    assert to_xml(load(), json.decode_keeping(raw)).decode() == (
        f'{DECLARATION}<Observation {FHIR}><valueQuantity><value value="{literal}"/>'
        "</valueQuantity></Observation>"
    )


def test_pretty_is_indented_outside_of_narratives() -> None:
    data = {
        "resourceType": "Patient",
        "text": {"div": f"{DIV}<b>x</b></div>"},
        "contained": [{"resourceType": "Group"}],
        "name": [{"given": ["A"]}],
    }
    assert to_xml(load(), data, pretty=True).decode().split("\n") == [
        DECLARATION,
        f"<Patient {FHIR}>",
        "  <text>",
        f"    {DIV}<b>x</b></div>",
        "  </text>",
        "  <contained>",
        "    <Group/>",
        "  </contained>",
        "  <name>",
        '    <given value="A"/>',
        "  </name>",
        "</Patient>",
    ]


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"language": "a\x01"}, "Patient.language"),
        ({"name": [{"text": "\uffff"}]}, "Patient.name.text"),
        ({"nickname": "x"}, "Patient.nickname"),
        ({"_name": [{}]}, "Patient._name"),
        ({"name": [{"given": [None]}]}, "Patient.name.given"),
        ({"name": ["x"]}, "Patient.name"),
        ({"birthDate": {"a": 1}}, "Patient.birthDate"),
        ({"contained": [{"resourceType": "Meta"}]}, "Patient.contained"),
        ({"text": {"div": "<div>no namespace</div>"}}, "Patient.text.div"),
        ({"text": {"div": f"{DIV}</div><active/>"}}, "Patient.text.div"),
        ({"text": {"div": f"<?xml version='1.0'?>{DIV}</div>"}}, "Patient.text.div"),
        ({"text": {"div": f"<!DOCTYPE div>{DIV}</div>"}}, "Patient.text.div"),
        ({"text": {"div": f"{DIV}&unknown;</div>"}}, "Patient.text.div"),
        ({"text": {"div": "&#160;"}}, "Patient.text.div"),
    ],
)
def test_what_xml_cannot_say_is_refused_with_its_place(members: dict[str, Any], place: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        to_xml(load(), {"resourceType": "Patient", **members})
    assert [issue.expression for issue in caught.value.issues] == [place]
