"""How many requests one process carries out at a time.

All counting happens on the event loop, so that plain numbers do.

https://www.rfc-editor.org/rfc/rfc6585#section-4
"""

from dataclasses import dataclass, field

from fhir_server.api.request import Scope
from fhir_server.config import Limits
from fhir_server.errors import SangamError, Throttled, Unavailable
from fhir_server.operations.table import OPERATIONS

RETRY = {"Retry-After": "1"}
_READING = frozenset(("GET", "HEAD", "OPTIONS"))
# What entries of a batch may call changes nothing.
_ASKING = frozenset(f"${one.name}" for one in OPERATIONS if one.batched)


@dataclass(slots=True)
class InFlight:
    """The requests under way: of each client, of all, and those that may write."""

    limits: Limits
    requests: int = 0
    writes: int = 0
    clients: dict[str, int] = field(default_factory=dict)

    def taken(self, scope: Scope) -> "Place":
        """Return the place of a request, to be held for as long as it is carried out.

        Entering it raises Throttled when its client, or all clients together, have as
        many under way as is allowed, and Unavailable when so many write.
        """
        return Place(self, _client(scope), writes=_writes(scope))

    def refusal(self, client: str, *, writes: bool) -> SangamError | None:
        """Return why a request cannot be taken now, None when it can."""
        if self.clients.get(client, 0) >= self.limits.client_requests:
            return Throttled("This client has too many requests under way", headers=RETRY)
        if self.requests >= self.limits.requests:
            return Throttled("The server has too many requests under way", headers=RETRY)
        if writes and self.writes >= self.limits.writes:
            return Unavailable("The server has too many writes under way", headers=RETRY)
        return None


@dataclass(slots=True)
class Place:
    """One request among those under way."""

    under_way: InFlight
    client: str
    writes: bool

    def __enter__(self) -> None:
        room = self.under_way
        if refused := room.refusal(self.client, writes=self.writes):
            raise refused
        room.requests += 1
        room.writes += self.writes
        room.clients[self.client] = room.clients.get(self.client, 0) + 1

    def __exit__(self, *_: object) -> None:
        room = self.under_way
        room.requests -= 1
        room.writes -= self.writes
        left = room.clients[self.client] - 1
        if left:
            room.clients[self.client] = left
        else:  # an address that is gone leaves nothing behind
            del room.clients[self.client]


def _client(scope: Scope) -> str:
    """Return the address of who asks, empty where there is none (a Unix socket)."""
    client = scope.get("client")
    return client[0] if client else ""


def _writes(scope: Scope) -> bool:
    """Whether the request may write: a search by POST does not, nor do most operations."""
    last = scope["path"].rpartition("/")[2]
    return scope["method"] not in _READING and last != "_search" and last not in _ASKING
