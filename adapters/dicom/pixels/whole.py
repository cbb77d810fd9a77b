"""Stored data sets in another transfer syntax, from processes that may die of one.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#chapter_10
"""

from threading import BoundedSemaphore

from adapters.dicom.pixels.pool import Pool
from adapters.dicom.pixels.request import Order, Picture
from adapters.dicom.query.transcode import MOST_BYTES, Transcode, Undecodable
from fhir_server.at_rest.files import Openable


def order(target: str) -> Order:
    """Return the order for the data set of a stored file in `target`."""
    # What is to be known of the file stands in it.
    return Order(offset=0, syntax="", frame=None, picture=Picture(), whole=target)


def transcoder(pool: Pool, most: int) -> Transcode:
    """Return what has at most so many data sets at a time brought into a transfer syntax."""
    turn = BoundedSemaphore(most)

    def transcode(path: Openable, size: int, target: str) -> bytes:
        if size > MOST_BYTES:
            raise Undecodable("The data set is too large to be decoded")
        with turn:
            found = pool.ask(order(target), path)
        if found.refusal:
            raise Undecodable(found.text)
        return found.content

    return transcode
