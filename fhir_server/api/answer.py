"""One HTTP response.

https://hl7.org/fhir/R4/http.html#ops
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from fhir_server.api.formats import CONTENT_TYPES, Format
from fhir_server.errors import SangamError
from fhir_server.r4.outcome import operation_outcome

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body (FHIR in `format`) and further headers."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cacheable: bool = False
    format: Format = "json"


def version_headers(version: int, last_updated: datetime) -> dict[str, str]:
    """Return ETag and Last-Modified of a version."""
    return {
        "ETag": f'W/"{version}"',
        "Last-Modified": format_datetime(last_updated, usegmt=True),
    }


def refusal(error: SangamError) -> Answer:
    """Return the answer that says no."""
    return Answer(error.status, operation_outcome(error.issues), error.headers)


async def send_answer(send: Send, answer: Answer, request_id: str, *, head: bool) -> None:
    """Send the answer; for HEAD without its body."""
    headers = [
        (b"x-request-id", request_id.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *((k.lower().encode(), v.encode("latin-1")) for k, v in answer.headers.items()),
    ]
    if answer.body:
        headers.append((b"content-type", CONTENT_TYPES[answer.format]))
    if not answer.cacheable:
        headers.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
