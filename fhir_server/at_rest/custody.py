"""Where the master key is: in a file, or with a command that prints what such a file would hold.

A command is how key services, `age` and `systemd-creds` are asked. It is run without a shell, its
output goes through a pipe into memory and nowhere else, and it has a time that it must end in.
"""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from fhir_server.at_rest import master
from fhir_server.at_rest.master import Master
from fhir_server.config import Settings
from fhir_server.errors import Conflict

KEPT_SECONDS: Final = 60.0
"""So long one answer of a command does, as each tenant of each process would ask for its own."""

_MOST: Final = 1 << 14
_PIECE: Final = 1 << 12
_kept: dict[tuple[str, ...], Master] = {}
_asking: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Custody:
    """Who holds the master key: `command` where there is one, else the file `path`."""

    path: Path
    command: tuple[str, ...] = ()
    seconds: float = 10.0

    def __str__(self) -> str:
        """Return what an operator knows it by."""
        return f"the command {Path(self.command[0]).name}" if self.command else str(self.path)

    def read(self, *, fresh: bool = False) -> Master:
        """Return the keys; `fresh`: not those that a command told a moment ago.

        Conflict when there are none, with what is wrong.
        """
        if not self.command:
            return master.read(self.path)
        with _asking:
            found = None if fresh else _kept.get(self.command)
            return found or self._asked()

    def make(self) -> None:
        """See to it that there is a key: write a file with a new one, unless it is there."""
        if not self.command:
            master.make(self.path)

    def replace(self, keys: Sequence[bytes]) -> bool:
        """Write the keys, durably and at once; return whether they are such that are written.

        Raises OSError. What a command tells is changed where it has it from.
        """
        return not self.command and master.write(self.path, keys)

    def _asked(self) -> Master:
        found = master.parsed(_told(self.command, self.seconds), f"What {self} prints")
        _kept[self.command] = found
        # Nothing but what it opened is needed longer than that.
        forget = threading.Timer(KEPT_SECONDS, _kept.pop, (self.command, None))
        forget.daemon = True
        forget.start()
        return found


def custody(settings: Settings) -> Custody:
    """Return who holds the master key by these settings of an installation."""
    own = settings.security.at_rest
    path = Path(own.master_key_file) if own.master_key_file else settings.data_dir / master.FILE
    return Custody(path, own.master_key_command, own.master_key_seconds)


def _told(command: tuple[str, ...], seconds: float) -> bytes:
    """Return what the command prints. Conflict when it fails, is late or prints too much."""
    name = Path(command[0]).name
    try:
        # What it says beside the key may hold a secret too, so that nobody keeps it.
        process = subprocess.Popen(  # noqa: S603  (the operator's own, word by word)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _refused(name, f"cannot be run ({type(error).__name__})") from None
    assert process.stdout is not None
    with process.stdout as output:
        try:
            end = time.monotonic() + seconds
            said, status = _read(output, end), None
            if said is not None and len(said) <= _MOST:
                status = process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            said = None
        finally:
            # Also what it started and left behind.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if said is None:
        raise _refused(name, f"took longer than {seconds:g} s (master_key_seconds)")
    if status:
        raise _refused(name, f"ended with status {status}")
    if len(said) > _MOST:
        raise _refused(name, "prints more than keys")
    return said


def _read(output: IO[bytes], end: float) -> bytes | None:
    """Return what comes until it ends, or is too much; None when it takes too long."""
    said = bytearray()
    with selectors.DefaultSelector() as waiting:
        waiting.register(output, selectors.EVENT_READ)
        while len(said) <= _MOST:
            if not waiting.select(max(0.0, end - time.monotonic())):
                return None
            piece = os.read(output.fileno(), _PIECE)
            if not piece:
                break
            said += piece
    return bytes(said)


def _refused(name: str, what: str) -> Conflict:
    return Conflict(
        f"The command of security.at_rest.master_key_command ({name}) {what}. Run it by hand, as "
        "the account of the server: it is to print the master key, 32 bytes in base64."
    )
