"""The Prefer header.

https://hl7.org/fhir/R4/http.html#ops
"""

from dataclasses import dataclass
from typing import Literal

from fhir_server.api.request import Request

Return = Literal["minimal", "representation", "OperationOutcome"]


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the client prefers; `answer` is None where it does not say.

    `asynchronous` is whether it would rather come back for the answer.
    """

    answer: Return | None
    lenient: bool
    asynchronous: bool = False


def preferences(request: Request) -> Preferences:
    """Return the preferences of a request; unknown ones are ignored, as RFC 7240 asks."""
    header = request.header(b"prefer")
    if header is None:
        return Preferences(None, lenient=False)
    answer: Return | None = None
    lenient = asynchronous = False
    for part in header.replace(";", ",").split(","):
        name, _, value = (text.strip().strip('"') for text in part.partition("="))
        if name == "return":
            answer = _return(value) or answer
        elif name == "handling":
            lenient = value == "lenient"
        elif name == "respond-async":
            asynchronous = True
    return Preferences(answer, lenient, asynchronous)


def _return(value: str) -> Return | None:
    named: dict[str, Return] = {
        "minimal": "minimal",
        "representation": "representation",
        "OperationOutcome": "OperationOutcome",
    }
    return named.get(value)
