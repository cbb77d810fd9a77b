"""Where a message came in, before anything of it is read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """How a sender is known by the connection that brought its message.

    `channel` is the name of the port, `peer` address and port of the other side,
    `sender` the profile that the channel's settings name, "" where they name none.
    `names` are the subject alternative names (and the common name) of a client
    certificate that was verified, `fingerprint` its SHA-256 in lower-case
    hexadecimal digits; both are empty without one. What was not `framed` came in a file.
    """

    channel: str
    peer: str = "-"
    sender: str = ""
    names: tuple[str, ...] = ()
    fingerprint: str = ""
    framed: bool = True

    @property
    def host(self) -> str:
        """The address of the other side, without its port."""
        return self.peer.rpartition(":")[0] or self.peer
