"""Which media type comes in, and which goes out.

https://hl7.org/fhir/R4/http.html#mime-type
"""

from fhir_server.api.request import Request
from fhir_server.errors import BadRequest, NotAcceptable, UnsupportedMedia

FHIR_JSON = "application/fhir+json"
JSON_NAMES = frozenset(
    (FHIR_JSON, "application/json", "json", "text/json", "application/json+fhir")
)
WILDCARDS = frozenset(("*/*", "application/*"))
VERSIONS = frozenset(("4.0", "4.0.1", "4"))
CONTENT_TYPE = b"application/fhir+json; charset=utf-8"
FORM = "application/x-www-form-urlencoded"


def require_acceptable(request: Request) -> None:
    """Raise NotAcceptable unless `_format`, or else Accept, names a format we give."""
    named = next((value for name, value in request.pairs if name == "_format"), None)
    wanted = named if named is not None else request.header(b"accept")
    if not wanted:
        return
    # A "+" in a query string is a blank once decoded: application/fhir json.
    ranges = wanted.replace("fhir json", "fhir+json").split(",")
    if not any(_is_json(part, wildcards=named is None) for part in ranges):
        raise NotAcceptable(f"This server answers in {FHIR_JSON}")


def require_json(request: Request) -> None:
    """Raise UnsupportedMedia unless the body is said to be FHIR JSON."""
    sent = request.header(b"content-type")
    if sent is None or not _is_json(sent, wildcards=False):
        raise UnsupportedMedia(f"Content-Type must be {FHIR_JSON}")


def media_type(request: Request) -> str:
    """Return the body's media type without its parameters, empty when it is not said."""
    return (request.header(b"content-type") or "").partition(";")[0].strip().lower()


def is_form(request: Request) -> bool:
    """Whether the body is said to be a form."""
    return media_type(request) == FORM


def is_pretty(request: Request) -> bool:
    """Whether `_pretty=true` was asked for."""
    value = next((value for name, value in request.pairs if name == "_pretty"), "false")
    if value not in {"true", "false"}:
        raise BadRequest("_pretty is true or false", code="value", expression="_pretty")
    return value == "true"


def _is_json(media: str, *, wildcards: bool) -> bool:
    name, *parameters = (part.strip().lower() for part in media.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        value = value.strip('"')
        if (key == "fhirversion" and value not in VERSIONS) or (key == "q" and value == "0"):
            return False
        if key == "charset" and value != "utf-8":
            return False
    return name in JSON_NAMES or (wildcards and name in WILDCARDS)
