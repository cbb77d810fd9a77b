"""The end of what runs in the background.

https://docs.python.org/3/library/asyncio-task.html#task-cancellation
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

# A task that still runs so many seconds after it was cancelled has lost the cancellation.
_AGAIN_SECONDS: Final = 1.0


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until all have ended.

    Once is not enough for one that goes on after errors of the database: an error that comes
    while it is being cancelled, as of a statement that was cut off, takes the place of the
    cancellation. How they ended is left in the tasks.
    """
    ending = list(tasks)
    pending = {task for task in ending if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_SECONDS)
    # Seen, so that asyncio does not report it as never asked for.
    await asyncio.gather(*ending, return_exceptions=True)
