"""What a channel is answered beside acknowledgements: queries, and orders that go out on it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from adapters.hl7.inbox.received import Received
from adapters.hl7.profiles.origin import Origin


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What is asked of those who know the answers.

    `answer` returns the response to a query that is stored; `following` the next message
    for a sender that goes out on a connection of its own, None without one; `replied`
    takes what the sender answered to that.
    """

    answer: Callable[[Received, Origin], Awaitable[bytes]]
    following: Callable[[str, Origin], Awaitable[bytes | None]]
    replied: Callable[[Received, Origin], Awaitable[None]]
