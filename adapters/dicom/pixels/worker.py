"""A process that makes pictures for another, and may die of one.

It reads orders from its standard input and writes answers to its standard output, each with its
length in front, until its input ends.
"""

import os
import resource
import signal
import struct
import sys
from typing import BinaryIO, Final

import msgspec
import pydicom.config
from PIL import Image

from adapters.dicom.pixels.frame import MOST_PIXELS
from adapters.dicom.pixels.render import answer
from adapters.dicom.pixels.request import Order

LENGTH: Final = struct.Struct(">Q")
READY: Final = b"ready"


def main(memory: int, seconds: int) -> None:
    """Answer orders with at most `memory` bytes of addresses and `seconds` for each."""
    orders = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # so that no library can write between the answers
    _confine(memory)
    answers.write(READY)
    while order := _next(orders):
        # The one who asks kills this process in time; this is for when he is gone.
        signal.alarm(seconds)
        _write(answers, msgspec.msgpack.encode(answer(order)))
        signal.alarm(0)


def _confine(memory: int) -> None:
    """Set limits, which hold for the decoders too; what comes from outside is read only here."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS


def _next(orders: BinaryIO) -> Order | None:
    head = orders.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return msgspec.msgpack.decode(orders.read(LENGTH.unpack(head)[0]), type=Order)


def _write(answers: BinaryIO, content: bytes) -> None:
    rest = memoryview(LENGTH.pack(len(content)) + content)
    while rest:
        rest = rest[answers.write(rest) :]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
