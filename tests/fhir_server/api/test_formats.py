"""Media types in and out."""

import pytest

from fhir_server.api.formats import accepted, is_pretty, sent
from fhir_server.api.request import Request
from fhir_server.errors import BadRequest, NotAcceptable, UnsupportedMedia


def request(*, query: tuple[tuple[str, str], ...] = (), **headers: str) -> Request:
    async def receive() -> dict[str, object]:
        return {}

    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Request("GET", (), "", query, named, receive, "id")


@pytest.mark.parametrize(
    "accept",
    [
        "application/fhir+json",
        "application/json",
        "*/*",
        "text/html, application/fhir+json;q=0.8",
        "application/fhir+json; fhirVersion=4.0",
        "application/fhir+json;charset=UTF-8",
        "application/json+fhir",
    ],
)
def test_acceptable(accept: str) -> None:
    assert accepted(request(accept=accept)) == "json"


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/fhir+json; fhirVersion=5.0",
        "application/fhir+json;q=0",
    ],
)
def test_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        accepted(request(accept=accept))


def test_format_outweighs_accept() -> None:
    assert accepted(request(query=(("_format", "json"),), accept="text/html")) == "json"
    with pytest.raises(NotAcceptable):
        accepted(request(query=(("_format", "turtle"),), accept="*/*"))


def test_format_with_an_unescaped_plus_is_understood() -> None:
    assert accepted(request(query=(("_format", "application/fhir json"),))) == "json"
    assert accepted(request(query=(("_format", "application/fhir xml"),))) == "xml"


@pytest.mark.parametrize(
    "media", ["application/fhir+turtle", "*/*", "text/plain", "application/json; charset=latin-1"]
)
def test_only_fhir_is_taken(media: str) -> None:
    with pytest.raises(UnsupportedMedia):
        sent(request(content_type=media))


def test_pretty_is_true_or_false() -> None:
    assert is_pretty(request(query=(("_pretty", "true"),))) is True
    assert is_pretty(request()) is False
    with pytest.raises(BadRequest):
        is_pretty(request(query=(("_pretty", "1"),)))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/fhir+xml", "xml"),
        ("application/fhir+json;q=0.5, application/fhir+xml", "xml"),
        ("application/fhir+xml;q=0.5, application/fhir+json;q=0.9", "json"),
        ("text/html, application/xml;q=0.9, */*;q=0.8", "xml"),
    ],
)
def test_the_better_format_is_chosen(accept: str, expected: str) -> None:
    assert accepted(request(accept=accept)) == expected
