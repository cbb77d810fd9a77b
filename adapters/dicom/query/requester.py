"""Query and retrieve as the requester: C-FIND, C-MOVE, C-GET, and the sending of files.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.4
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.dataset.identifier import Key, Keys, read, tag_of, terms_of, vr_of, write
from adapters.dicom.dataset.levels import Level
from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from adapters.dicom.network import classes
from adapters.dicom.network.command import RESPONSE, Answer, Command, Element, Field
from adapters.dicom.network.scu import Sender
from adapters.dicom.network.services import Fixed, Gathered, Intake
from adapters.dicom.network.statuses import OUT_OF_RESOURCES, SUCCESS
from adapters.dicom.query.suboperations import Pair
from fhir_server.errors import BadRequest

PENDING = frozenset((0xFF00, 0xFF01))
_MEDIUM = 0
_UID = re.compile(r"[0-9.]{1,64}")
_PIECE = 128 << 10

ROOTS = {
    "patient": (
        classes.PATIENT_ROOT_FIND,
        classes.PATIENT_ROOT_MOVE,
        classes.PATIENT_ROOT_GET,
    ),
    "study": (classes.STUDY_ROOT_FIND, classes.STUDY_ROOT_MOVE, classes.STUDY_ROOT_GET),
}


def contexts(sop_class: str) -> list[Pair]:
    """Return the contexts to propose for a class of query and retrieve."""
    return [(sop_class, EXPLICIT_LITTLE), (sop_class, IMPLICIT_LITTLE)]


def identifier(level: Level | None, given: Sequence[str]) -> list[Key]:
    """Return the keys of `Keyword=value` or `Sequence.Keyword=value`; no value is universal.

    The worklist has no level. Raises BadRequest for a keyword that is none.
    """
    keys: dict[int, Key] = {}
    for one in [*([f"QueryRetrieveLevel={level}"] if level else ()), *given]:
        path, _, value = one.partition("=")
        try:
            tags = [tag_of(name) for name in path.strip().split(".")]
        except KeyError as error:
            raise BadRequest(f"{error.args[0]} is not the keyword of an attribute") from None
        _put(keys, tags, value)
    return list(keys.values())


def _put(keys: dict[int, Key], tags: Sequence[int], value: str) -> None:
    tag = tags[0]
    if len(tags) == 1:
        keys[tag] = Key(tag, vr_of(tag), tuple(value.split("\\")) if value else ())
        return
    present = keys.get(tag)
    item: dict[int, Key] = dict(present.values[0]) if present and present.values else {}
    _put(item, tags[1:], value)
    keys[tag] = Key(tag, "SQ", (item,))


def find(sender: Sender, sop_class: str, keys: Sequence[Key]) -> Iterator[tuple[int, Keys]]:
    """Yield status and identifier of each response to a C-FIND, the final one without keys."""
    for pair, command, data in _responses(sender, sop_class, Field.C_FIND_RQ, keys, {}):
        status = command.number(Element.Status) or SUCCESS
        yield status, read(data, pair[1]) if data else {}


def move(
    sender: Sender, sop_class: str, keys: Sequence[Key], destination: str
) -> Iterator[Command]:
    """Yield the responses to a C-MOVE to the AE title `destination`."""
    extra: dict[int, int | str] = {Element.MoveDestination: destination}
    for _, command, _ in _responses(sender, sop_class, Field.C_MOVE_RQ, keys, extra):
        yield command


def get(sender: Sender, sop_class: str, keys: Sequence[Key], directory: Path) -> Iterator[Command]:
    """Yield the responses to a C-GET; what is sent is written into `directory` as it comes."""
    kept = _Keeping(directory)
    for _, command, _ in _responses(sender, sop_class, Field.C_GET_RQ, keys, {}, kept):
        yield command


@dataclass(frozen=True, slots=True)
class _Keeping:
    """Where instances that come are written."""

    directory: Path

    def intake(self, sop_class: str, transfer_syntax: str, command: Command) -> Intake:
        """Return what writes the data set of a C-STORE."""
        uid = command.uid(Element.AffectedSOPInstanceUID)
        if not _UID.fullmatch(uid):
            return Fixed(Answer(OUT_OF_RESOURCES))
        return _Writing(
            self.directory / f"{uid}.dcm", file_meta(sop_class, uid, transfer_syntax, "")
        )


class _Writing:
    """One file on its way: whole, or not there."""

    def __init__(self, path: Path, meta: bytes) -> None:
        self._path = path
        self._part = path.with_name(f".{secrets.token_hex(8)}.part")
        self._stream = self._part.open("wb")
        self._stream.write(meta)
        self._failed = False

    def write(self, fragment: memoryview) -> None:
        """Append to the file."""
        try:
            self._stream.write(fragment)
        except OSError:
            self._failed = True

    def finish(self) -> Answer:
        """Give the file its name."""
        self._stream.close()
        if self._failed:
            self.discard()
            return Answer(OUT_OF_RESOURCES)
        self._part.rename(self._path)
        return Answer(SUCCESS)

    def discard(self) -> None:
        """Remove what has come."""
        self._stream.close()
        self._part.unlink(missing_ok=True)


def _responses(
    sender: Sender,
    sop_class: str,
    field: Field,
    keys: Sequence[Key],
    extra: Mapping[int, int | str],
    keeping: _Keeping | None = None,
) -> Iterator[tuple[Pair, Command, bytes]]:
    """Send a request, and yield context, command and data set of each response."""
    pair = next((one for one in contexts(sop_class) if one in sender.contexts), None)
    if pair is None:
        raise BadRequest("The peer does not provide this service")
    elements: dict[int, int | str] = {
        Element.AffectedSOPClassUID: sop_class,
        Element.CommandField: field,
        Element.Priority: _MEDIUM,
        **extra,
    }
    # The set of a query is also that of its answers.
    terms = terms_of({key.tag: key for key in keys})
    sender.send(pair, elements, [write(keys, pair[1], terms, stated=True)])
    held: list[bytes] = []
    used: list[Pair] = []

    def intake(abstract: str, transfer: str, command: Command) -> Intake:
        used[:] = [(abstract, transfer)]
        if keeping and not command.field & RESPONSE:
            return keeping.intake(abstract, transfer, command)
        held.clear()
        return Gathered(keep)

    def keep(data: bytes) -> Answer:
        held.append(data)
        return Answer(SUCCESS)

    while True:
        command, answer = sender.receive(intake)
        if not command.field & RESPONSE:
            sender.reply(used[0], command, answer)
            continue
        yield pair, command, held[0] if command.has_data_set and held else b""
        if command.number(Element.Status) not in PENDING:
            return


@dataclass(frozen=True, slots=True)
class File:
    """A DICOM file to send: its identity, and where its data set begins."""

    path: Path
    pair: Pair
    sop_instance_uid: str
    offset: int

    def pieces(self) -> Iterator[bytes]:
        """Yield the data set as it lies in the file."""
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(self.offset)
            while piece := stream.read(_PIECE):
                yield piece


def dicom_file(path: Path) -> File | None:
    """Return a file to send, None when it has no DICOM prefix or no identity."""
    with path.open("rb") as stream:
        stream.seek(128)
        if stream.read(4) != b"DICM":
            return None
    meta = read_file_meta_info(path)
    found = (
        meta.get("MediaStorageSOPClassUID"),
        meta.get("TransferSyntaxUID"),
        meta.get("MediaStorageSOPInstanceUID"),
    )
    if not all(found):
        return None
    return File(path, (str(found[0]), str(found[1])), str(found[2]), _data_set_offset(path))


def _data_set_offset(path: Path) -> int:
    """Return where the group of the file meta ends."""
    with path.open("rb") as stream:
        offset = 132
        while True:
            stream.seek(offset)
            head = stream.read(12)
            if head[:2] != b"\2\0":
                return offset
            long = head[4:6] in {b"OB", b"UN"}
            size = int.from_bytes(head[8:12] if long else head[6:8], "little")
            offset += (12 if long else 8) + size


def send(sender: Sender, file: File) -> int | None:
    """Send a file as it is and return the status, None when its context was not accepted."""
    if file.pair not in sender.contexts:
        return None
    return sender.store_pieces(file.pair, file.sop_instance_uid, file.pieces(), {})
