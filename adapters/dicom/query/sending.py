"""Files sent to a peer, over one association or several at once.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_B.2
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from adapters.dicom.network.associate import MAX_CONTEXTS
from adapters.dicom.network.scu import Sender
from adapters.dicom.query import requester
from adapters.dicom.query.requester import File
from adapters.dicom.query.suboperations import Pair

Open = Callable[[Sequence[Pair]], AbstractContextManager[Sender]]
"""Opens an association for these contexts."""


def files(paths: Iterable[Path]) -> Iterator[File]:
    """Yield the DICOM files among these and below those that are directories, in order."""
    for path in paths:
        inside = (
            sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        )
        for one in inside:
            if found := requester.dicom_file(one):
                yield found


def send(
    some: Sequence[File], associations: int, open_: Open, told: Callable[[File, int | None], None]
) -> None:
    """Send files over so many associations at once.

    `told` is called in their threads with the status of each file, None where the peer does
    not take its class or transfer syntax. Raises what breaks an association; what the others
    have under way is then finished.
    """
    shares = [some[number::associations] for number in range(associations)]
    with ThreadPoolExecutor(associations) as threads:
        list(threads.map(lambda share: _send(share, open_, told), shares))


def _send(share: Sequence[File], open_: Open, told: Callable[[File, int | None], None]) -> None:
    pairs = list(dict.fromkeys(file.pair for file in share))
    for start in range(0, len(pairs), MAX_CONTEXTS):
        of_these = pairs[start : start + MAX_CONTEXTS]
        with open_(of_these) as sender:
            for file in share:
                if file.pair in of_these:
                    told(file, requester.send(sender, file))
