"""What this process leaves on disk, for no other account to read."""

import os
import resource
from collections.abc import Callable

_OURS_ALONE = 0o077


def kept() -> Callable[[], None]:
    """Have files and folders made from now on closed to others, and memory never dumped.

    Processes that are started inherit both. Keys and what they open are in memory, and a core dump
    would put them into a file. Returns what ends it.
    """
    mask, core = os.umask(_OURS_ALONE), resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, core[1]))

    def end() -> None:
        os.umask(mask)
        resource.setrlimit(resource.RLIMIT_CORE, core)

    return end
