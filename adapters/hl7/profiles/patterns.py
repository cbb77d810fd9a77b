"""Regular expressions of profiles, searched for in linear time.

https://github.com/google/re2/wiki/Syntax
"""

from functools import lru_cache
from typing import Final

import re2

from adapters.hl7.mapping.sender_rules import Pattern

_MEMORY: Final = 2 << 20


@lru_cache(1024)
def compiled(text: str) -> Pattern:
    """Return a regular expression; ValueError says why there is none.

    It is asked about what senders wrote, so that it must not backtrack: RE2 has neither
    look-around nor back-references.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        found: Pattern = re2.compile(text, options=options)
    except re2.error as error:
        why = error.args[0] if error.args else ""
        said = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
        raise ValueError(f"this is no regular expression of RE2 ({said})") from None
    return found
