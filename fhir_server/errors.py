"""The errors that Sangam says no with.

Each class is one HTTP status and a default issue code (FHIR R4 IssueType); one
handler turns it into an OperationOutcome, adapters into an HL7 acknowledgement
code or a DICOM status.

    SangamError
    ├── BadRequest            400 invalid
    ├── NotSupported          400 not-supported
    ├── Unauthenticated       401 login
    ├── Forbidden             403 forbidden
    ├── NotFound              404 not-found
    ├── MethodNotAllowed      405 not-supported
    ├── NotAcceptable         406 not-supported
    ├── Conflict              409 conflict
    ├── Gone                  410 deleted
    ├── PreconditionFailed    412 conflict
    ├── TooLarge              413 too-long
    ├── UnsupportedMedia      415 not-supported
    ├── Unprocessable         422 processing
    ├── Throttled             429 throttled
    ├── NotBuilt              501 not-supported
    └── Unavailable           503 transient

https://hl7.org/fhir/R4/operationoutcome.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding: `severity` and `code` from the R4 value sets, `text` for a person.

    `expression` is the FHIRPath of the place, or the name of a search parameter.
    `text` never quotes the value that was found, as it may be patient data.
    `diagnostics` is for the operator. `rule` is the key of the invariant that is broken.
    """

    severity: str
    code: str
    text: str
    expression: str | None = None
    diagnostics: str | None = None
    rule: str | None = None


class SangamError(Exception):
    """A refusal with its HTTP status, issues and headers."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "exception"

    def __init__(
        self,
        text: str,
        *,
        code: str | None = None,
        expression: str | None = None,
        headers: Mapping[str, str] | None = None,
        issues: Sequence[Issue] = (),
    ) -> None:
        super().__init__(text)
        self.text = text
        self.headers = dict(headers or {})
        self.issues: tuple[Issue, ...] = tuple(issues) or (
            Issue("error", code or self.code, text, expression),
        )


class BadRequest(SangamError):
    """The request cannot be understood."""

    status = 400
    code = "invalid"


class NotSupported(SangamError):
    """The request is understood, and this server does not offer it."""

    status = 400
    code = "not-supported"


class Unauthenticated(SangamError):
    """No token, or one that is not accepted."""

    status = 401
    code = "login"


class Forbidden(SangamError):
    """The caller may not do this."""

    status = 403
    code = "forbidden"


class NotFound(SangamError):
    """Nothing is stored there, or the caller may not know of it."""

    status = 404
    code = "not-found"


class MethodNotAllowed(SangamError):
    """The method has no meaning at this URL."""

    status = 405
    code = "not-supported"


class NotAcceptable(SangamError):
    """No format that the client accepts is offered."""

    status = 406
    code = "not-supported"


class Conflict(SangamError):
    """The write collides with the present state."""

    status = 409
    code = "conflict"


class Gone(SangamError):
    """The resource, or this version of it, was deleted."""

    status = 410
    code = "deleted"


class PreconditionFailed(SangamError):
    """If-Match differs, or a condition has several matches."""

    status = 412
    code = "conflict"


class TooLarge(SangamError):
    """The body or what it expands to is over a limit."""

    status = 413
    code = "too-long"


class UnsupportedMedia(SangamError):
    """The Content-Type is not one that this URL takes."""

    status = 415
    code = "not-supported"


class Unprocessable(SangamError):
    """The content is well-formed and not valid."""

    status = 422
    code = "processing"


class Throttled(SangamError):
    """Too many requests, or too many jobs."""

    status = 429
    code = "throttled"


class NotBuilt(SangamError):
    """FHIR has it, and this server has it not yet."""

    status = 501
    code = "not-supported"


class Unavailable(SangamError):
    """A needed service is away or too slow; trying again may help."""

    status = 503
    code = "transient"
