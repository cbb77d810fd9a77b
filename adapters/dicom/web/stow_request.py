"""The body of a store request, taken apart and stored as it arrives.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.5.1
"""

from typing import Final, Protocol

from adapters.dicom.network.statuses import CANNOT_UNDERSTAND
from adapters.dicom.web.stow_json import Metadata
from adapters.dicom.web.stow_multipart import Begin, End, Malformed, Multipart, media_type
from adapters.dicom.web.stow_parts import Outcome, Part, Rules
from fhir_server.errors import BadRequest, UnsupportedMedia

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
RELATED = "multipart/related"


class Body(Protocol):
    """What takes a body: it is fed, then closed or discarded; all on one thread."""

    def feed(self, data: bytes) -> None:
        """Take the next piece. Raises Malformed."""

    def close(self) -> list[Outcome]:
        """Return what became of the instances. Raises Malformed."""

    def discard(self) -> None:
        """Forget what is not complete."""


def body(content_type: str, rules: Rules) -> Body:
    """Return what takes a body of this Content-Type.

    Raises UnsupportedMedia, and BadRequest for a multipart body without a boundary.
    """
    kind, parameters = media_type(content_type)
    if kind == DICOM:
        return _Single(rules, parameters.get("transfer-syntax", ""))
    held = parameters.get("type", DICOM).lower()
    if kind != RELATED or held not in {DICOM, DICOM_JSON}:
        raise UnsupportedMedia(
            f"What is stored comes as {DICOM}, or as {RELATED} of {DICOM} or {DICOM_JSON}"
        )
    try:
        reader = Multipart(parameters.get("boundary", ""))
    except Malformed as error:
        raise BadRequest(str(error)) from None
    return _Several(reader, _Instances(rules) if held == DICOM else Metadata(rules))


class Parts(Protocol):
    """What takes the parts of a multipart body."""

    def begin(self, kind: str, parameters: dict[str, str], location: str) -> None:
        """Begin a part of this type, with its parameters and Content-Location."""

    def write(self, piece: bytes) -> None:
        """Take the next piece of the part."""

    def end(self) -> None:
        """The part is complete."""

    def close(self) -> list[Outcome]:
        """Return what became of the instances. Raises Malformed."""

    def discard(self) -> None:
        """Forget what is not complete."""


MOST_PARTS: Final = 100_000
"""Each part, be it empty, has its place in the answer, which is held until the end."""


class _Single:
    """A body that is one instance."""

    def __init__(self, rules: Rules, syntax: str) -> None:
        self._part = Part(rules, syntax)

    def feed(self, data: bytes) -> None:
        self._part.write(data)

    def close(self) -> list[Outcome]:
        return [self._part.finish()]

    def discard(self) -> None:
        self._part.discard()


class _Several:
    """A multipart body."""

    def __init__(self, reader: Multipart, parts: Parts) -> None:
        self._reader = reader
        self._parts = parts

    def feed(self, data: bytes) -> None:
        for event in self._reader.feed(data):
            self._take(event)

    def close(self) -> list[Outcome]:
        for event in self._reader.close():
            self._take(event)
        outcomes = self._parts.close()
        if not outcomes:
            raise Malformed("The body holds no instance")
        return outcomes

    def discard(self) -> None:
        self._parts.discard()

    def _take(self, event: Begin | bytes | End) -> None:
        if isinstance(event, bytes):
            self._parts.write(event)
        elif isinstance(event, End):
            self._parts.end()
        else:
            kind, parameters = media_type(event.headers.get("content-type", ""))
            location = event.headers.get("content-location", "")
            self._parts.begin(kind, parameters, location)


class _Instances:
    """Parts that are an instance each."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._part: Part | None = None
        self._outcomes: list[Outcome] = []

    def begin(self, kind: str, parameters: dict[str, str], _location: str) -> None:
        if len(self._outcomes) >= MOST_PARTS:
            raise Malformed("There are too many parts; send them by several requests")
        if kind in {"", DICOM}:
            self._part = Part(self._rules, parameters.get("transfer-syntax", ""))
        else:
            self._outcomes.append(Outcome(CANNOT_UNDERSTAND))

    def write(self, piece: bytes) -> None:
        if self._part:
            self._part.write(piece)

    def end(self) -> None:
        if self._part:
            self._outcomes.append(self._part.finish())
        self._part = None

    def close(self) -> list[Outcome]:
        return self._outcomes

    def discard(self) -> None:
        if self._part:
            self._part.discard()
