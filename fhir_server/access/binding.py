"""What binds a link to who was given it: name, client, and rights.

https://hl7.org/fhir/R4/http.html#paging
"""

from collections import OrderedDict
from hashlib import blake2b

from fhir_server.caller import Caller
from fhir_server.rights import Rights

_MOST = 2048
_digests: OrderedDict[int, tuple[Rights, str]] = OrderedDict()


def of(caller: Caller) -> str:
    """Return what page links, cursors and asynchronous requests of the caller are bound to.

    Who has other rights than then is another. Of a caller who may do everything it is the
    name alone.
    """
    if not caller.rights.walls:
        return caller.name if caller.client is None else f"{caller.name}|{caller.client}"
    client = caller.client or ""
    return f"{caller.name}|{client}|{_digest(caller.rights)}"


def _digest(rights: Rights) -> str:
    """Return a hash of the rights, kept as long as they are in use."""
    kept = _digests.get(id(rights))
    if kept is not None:
        return kept[1]
    told = f"{rights.walls!r} {sorted(rights.operator)!r}"
    digest = blake2b(told.encode(), digest_size=16).hexdigest()
    _digests[id(rights)] = (rights, digest)
    if len(_digests) > _MOST:
        _digests.popitem(last=False)
    return digest
