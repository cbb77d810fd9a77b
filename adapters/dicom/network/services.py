"""What answers the messages of an association, as each service has it.

https://dicom.nema.org/medical/dicom/current/output/html/part07.html#chapter_9
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from adapters.dicom.network.command import Answer, Command
from adapters.dicom.network.negotiate import Agreed
from adapters.dicom.network.pdu import Fault
from adapters.dicom.network.peer import Peer
from adapters.dicom.network.statuses import (
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SUCCESS,
    UNABLE_TO_PROCESS,
    UNRECOGNIZED_OPERATION,
)
from adapters.dicom.network.wire import Closed, TimedOut

log = logging.getLogger(__name__)

MAX_IDENTIFIER = 16 << 20


class Stopped(Exception):
    """The listener is shutting down."""


class Intake(Protocol):
    """Takes the data set of one message, fragment by fragment, and answers it."""

    def write(self, fragment: memoryview) -> None:
        """Take the next fragment; the view is not valid afterwards. Never raises."""

    def finish(self) -> Answer:
        """Return the status once all has come. Never raises."""

    def discard(self) -> None:
        """Forget a message that will not be completed, or that was answered."""


class Exchange(Protocol):
    """What an operation may do on its association while it answers."""

    contexts: Mapping[int, Agreed]

    def cancelled(self) -> bool:
        """Return whether the requester has sent a C-CANCEL. Raises what ends the association."""

    def request(
        self, context: Agreed, elements: Mapping[int, int | str], data_set: Iterable[bytes]
    ) -> Command:
        """Send a request with these pieces of a data set, and return its response."""


@runtime_checkable
class Operation(Protocol):
    """Takes a data set like an intake, and answers with several responses."""

    def write(self, fragment: memoryview) -> None:
        """Take the next fragment; the view is not valid afterwards. Never raises."""

    def answers(self, exchange: Exchange) -> Iterator[Answer]:
        """Yield the responses, the last one final. Closed when the association ends."""

    def discard(self) -> None:
        """Forget a message that will not be completed, or that was answered."""


Service = Callable[[Peer, Agreed, Command], Intake | Operation]


@dataclass(frozen=True, slots=True)
class Fixed:
    """An intake that ignores the data set and answers what was known before."""

    answer: Answer

    def write(self, fragment: memoryview) -> None:
        """Ignore it."""

    def finish(self) -> Answer:
        """Return the answer."""
        return self.answer

    def discard(self) -> None:
        """Nothing was kept."""


class _Small:
    """A data set that is kept in memory, unless it is too long."""

    def __init__(self) -> None:
        self._identifier = bytearray()
        self._too_long = False

    def write(self, fragment: memoryview) -> None:
        """Keep it, unless it is too much."""
        self._too_long |= len(self._identifier) + len(fragment) > MAX_IDENTIFIER
        if not self._too_long:
            self._identifier += fragment

    def discard(self) -> None:
        """Forget the data set."""
        self._identifier.clear()


class Gathered(_Small):
    """An intake that gathers a small data set and has it answered by a function.

    `too_long` is the status for a data set that is not small.
    """

    def __init__(
        self, respond: Callable[[bytes], Answer], too_long: int = OUT_OF_RESOURCES
    ) -> None:
        super().__init__()
        self._respond = respond
        self._status = too_long

    def finish(self) -> Answer:
        """Return what the function answers."""
        if self._too_long:
            return Answer(self._status, "The data set is too long")
        return _guarded(lambda: self._respond(bytes(self._identifier)))


class Streamed(_Small):
    """An operation that gathers its identifier and has it answered by a function."""

    def __init__(self, respond: Callable[[bytes, Exchange], Iterator[Answer]]) -> None:
        super().__init__()
        self._respond = respond

    def answers(self, exchange: Exchange) -> Iterator[Answer]:
        """Yield what the function yields; a failure of ours becomes a status."""
        if self._too_long:
            yield Answer(OUT_OF_RESOURCES, "The identifier is too long")
            return
        try:
            yield from self._respond(bytes(self._identifier), exchange)
        except (Fault, Closed, TimedOut, Stopped):
            raise
        except Exception as error:  # noqa: BLE001  (an association outlives any query)
            log.error("an operation failed: %s", type(error).__name__)  # noqa: TRY400  (no values)
            yield Answer(UNABLE_TO_PROCESS, "The request cannot be processed")


def _guarded(respond: Callable[[], Answer]) -> Answer:
    try:
        return respond()
    except Exception as error:  # noqa: BLE001  (an association outlives any data set)
        log.error("a message failed: %s", type(error).__name__)  # noqa: TRY400  (no values)
        return Answer(PROCESSING_FAILURE, "The request cannot be processed")


def by_class(services: Mapping[str, Service]) -> Service:
    """Return a service that leaves each SOP class to its own.

    An operation that a class does not have was not agreed on with it (PS3.7, C.5).
    """

    def chosen(peer: Peer, context: Agreed, command: Command) -> Intake | Operation:
        service = services.get(context.abstract_syntax)
        if service is None:
            return Fixed(Answer(UNRECOGNIZED_OPERATION, "The SOP class has no such operation"))
        return service(peer, context, command)

    return chosen


def echo(_peer: Peer, _context: Agreed, _command: Command) -> Intake:
    """Answer a C-ECHO."""
    return Fixed(Answer(SUCCESS))
