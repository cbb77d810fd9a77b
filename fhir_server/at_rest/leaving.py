"""A folder for what leaves by hand: sealed for who is to open it, or plain.

`sangam tenant unseal` opens a sealed one, where no server or database needs to be.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fhir_server.at_rest import envelope, master
from fhir_server.at_rest.folder import Folder, named
from fhir_server.errors import BadRequest, Conflict


@contextmanager
def leaving(
    out: Path, recipient: Path | None = None, passphrase_file: Path | None = None
) -> Iterator[Folder]:
    """Lend the folder; it is whole when this ends.

    Sealed for the public key of a `recipient`, or for the first line of a `passphrase_file`, it
    is new: Conflict where it is there already. Without either its files can be read by everyone
    who gets at them. BadRequest for both.
    """
    if recipient is None and passphrase_file is None:
        yield Folder(out, None)
        return
    if recipient is not None and passphrase_file is not None:
        raise BadRequest("Choose one of --recipient and --passphrase-file")
    key = master.new()
    wrapped = _wrapped(key, recipient, passphrase_file)
    try:
        out.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise Conflict("What is sealed goes to a new folder, and this one is there") from error
    folder = Folder(out, named(key))
    yield folder
    folder.close()
    (out / envelope.NAME).write_text(wrapped)


def _wrapped(key: bytes, recipient: Path | None, passphrase_file: Path | None) -> str:
    if recipient is not None:
        return envelope.for_pair(key, recipient)
    assert passphrase_file is not None
    lines = passphrase_file.read_text().splitlines() or [""]
    return envelope.for_passphrase(key, lines[0])
