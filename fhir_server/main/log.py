"""Log lines: one event, one line of `key=value` pairs, without patient data."""

import json
import logging
import os
import sys
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import Path

OURS = ("fhir_server", "adapters", "terminology")
# What these say of a data set, in the log and as warnings, quotes its values.
QUOTING = ("pydicom", "pynetdicom")
FRAMES = 6


class Lines(logging.Formatter):
    """`time= level= process= logger= message=`, and `error=` by type and place.

    What an error says is left out: it might quote a patient.
    """

    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; values that are not one plain word are written as JSON."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        pairs = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": f"{self.role}/{os.getpid()}",
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            pairs["error"] = _where(record.exc_info[1])
        return " ".join(f"{key}={_written(value)}" for key, value in pairs.items())


def configure(role: str) -> None:
    """Send the log of this process to standard error; `role` names it in each line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(role))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    handler.addFilter(lambda record: not record.name.startswith(QUOTING))
    for name in QUOTING:
        warnings.filterwarnings("ignore", module=name)


def _where(error: BaseException) -> str:
    parts = []
    current: BaseException | None = error
    while current is not None:
        frames = traceback.extract_tb(current.__traceback__)[-FRAMES:]
        places = ">".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
        parts.append(f"{type(current).__name__}@{places}")
        current = current.__cause__
    return " from ".join(parts)


def _written(value: str) -> str:
    plain = value.isprintable() and not any(sign in value for sign in ' "=')
    return value if plain and value else json.dumps(value, ensure_ascii=False)
