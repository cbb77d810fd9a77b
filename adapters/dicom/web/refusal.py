"""Refusals of DICOMweb: a status and a sentence, never a value of a data set.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.5
"""

import logging
from collections.abc import Awaitable, Callable

import msgspec
import psycopg
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from fhir_server.errors import SangamError

log = logging.getLogger(__name__)

JSON = "application/json"
_CLIENT_CLOSED = 499

Endpoint = Callable[[Request], Awaitable[Response]]


def refused(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """Return the answer that says no."""
    return Response(msgspec.json.encode({"detail": text}), status, headers, JSON)


def answering(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with each error turned into an answer."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except SangamError as error:
            return refused(error.status, error.text, error.headers)
        except psycopg.DataError:
            return refused(400, "No row can have such a value")
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED)
        except OSError as error:
            log.warning("a request failed: %s", type(error).__name__)
            return refused(503, "The archive is not available", {"Retry-After": "5"})
        except Exception as error:  # noqa: BLE001  (the text of an error may hold values)
            log.error("a request failed: %s", type(error).__name__)  # noqa: TRY400
            return refused(500, "The request could not be carried out")

    return answered
