"""Texts of resources that were found, of which the second wall may keep some back.

What was found by its key and has no text to fetch was let through by the first wall alone:
that is a fault of ours, and nothing of the answer is shown.
"""

import logging
from typing import Final

from prometheus_client import Counter

kept_back: Final = Counter(
    "sangam_second_wall_kept_back",
    "Answers that the database kept back, as the rights in their queries had failed.",
)

log = logging.getLogger(__name__)


class HiddenError(Exception):
    """The rights in a query let through what the database does not let its caller have."""


def shown(body: bytes | None) -> bytes:
    """Return the text; HiddenError where there is none (`''` is that of a deletion)."""
    if body is None:
        raise hidden()
    return body


def hidden() -> HiddenError:
    """Count and log what is to be looked into at once; return the error."""
    kept_back.inc()
    log.critical("the first wall failed: the database kept back what a search or read had found")
    return HiddenError()
