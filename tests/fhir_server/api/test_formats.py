"""Media types in and out."""

import pytest

from fhir_server.api.formats import is_pretty, require_acceptable, require_json
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
    require_acceptable(request(accept=accept))


@pytest.mark.parametrize(
    "accept",
    [
        "application/fhir+xml",
        "text/html",
        "application/fhir+json; fhirVersion=5.0",
        "application/fhir+json;q=0",
    ],
)
def test_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        require_acceptable(request(accept=accept))


def test_format_outweighs_accept() -> None:
    require_acceptable(request(query=(("_format", "json"),), accept="text/html"))
    with pytest.raises(NotAcceptable):
        require_acceptable(request(query=(("_format", "xml"),), accept="*/*"))


def test_format_with_an_unescaped_plus_is_understood() -> None:
    require_acceptable(request(query=(("_format", "application/fhir json"),)))


@pytest.mark.parametrize(
    "sent", ["application/fhir+xml", "*/*", "text/plain", "application/json; charset=latin-1"]
)
def test_only_json_is_taken(sent: str) -> None:
    with pytest.raises(UnsupportedMedia):
        require_json(request(content_type=sent))


def test_pretty_is_true_or_false() -> None:
    assert is_pretty(request(query=(("_pretty", "true"),))) is True
    assert is_pretty(request()) is False
    with pytest.raises(BadRequest):
        is_pretty(request(query=(("_pretty", "1"),)))
