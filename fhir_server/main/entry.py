"""How a process that was forked finds what it is to do, by its name.

The supervisor names it and imports nothing of it; the process it is forked from has imported
all of it (serve.py).
"""

import signal
import socket
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any, Final

from fhir_server.config import Settings
from fhir_server.errors import SangamError
from fhir_server.main.late import found
from fhir_server.main.log import configure
from fhir_server.main.refused import Refused

CHILDREN: Final = "fhir_server.main.children"
PREPARING: Final = "fhir_server.main.preparing"


@dataclass(frozen=True, slots=True)
class Context:
    """What every child is told: also of which size its pools of connections are.

    `alive` closes when the supervisor is gone.
    """

    settings: Settings
    conninfo: str
    base: str
    alive: Pipe
    pools: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """The database by its owner's URL, and by that under which it is served.

    `pools` is the size of the pools of connections of each process.
    """

    conninfo: str
    serving: str
    pools: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked of a process, or the sentence that says why not."""

    content: Any = None
    refusal: str = ""


def enter(name: str, context: Context, listening: socket.socket | None, **how: bool) -> None:
    """Be the child of this name (children.py) until SIGTERM."""
    found(f"{CHILDREN}:{name}")(context, listening, **how)


def answer(name: str, told: Pipe, *arguments: object) -> None:
    """Do what has this name (preparing.py), and tell what came of it."""
    configure("supervisor")
    # Ctrl-C reaches the whole group; the supervisor then ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        told.send(Answer(found(f"{PREPARING}:{name}")(*arguments)))
    except (Refused, SangamError) as error:
        told.send(Answer(refusal=str(error)))
