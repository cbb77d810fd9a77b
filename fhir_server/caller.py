"""Who asks."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from fhir_server.rights import ANY, EVERYTHING, NOTHING, Rights


@dataclass(slots=True)
class Trail:
    """What a request did and saw, gathered on its way to be audited.

    `request` is the id of the request; `keys` are of resources that it was shown, `places`
    (type, id, version) of versions; `wrote` says that it wrote, which is recorded with that;
    `refused` are the URLs of a batch's entries that were kept from it.
    """

    request: str | None = None
    keys: set[int] = field(default_factory=set)
    places: set[tuple[str, str, int]] = field(default_factory=set)
    wrote: bool = False
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated party of a request, message or association.

    `name` identifies it in logs and audit, and binds its page links; `door` is how it came in
    (`rest`, `dicomweb`, `hl7`, `dicom`, `worker`, `cli`). Unless `rights` are given it may do
    nothing.

    `user` is the person as a reference (`Practitioner/1`), `roles` theirs, `client` the id of
    the app, `patient` the id of the patient in context, `purpose` a code of v3-PurposeOfUse,
    `token` the token's `jti`, `session` that of a login, `authenticated` when the person last
    logged in (seconds since 1970), `address` the network address. A `trail` belongs to one
    request.
    """

    name: str
    door: str
    rights: Rights = NOTHING
    user: str | None = None
    client: str | None = None
    patient: str | None = None
    purpose: str = "TREAT"
    token: str | None = None
    session: str | None = None
    authenticated: int | None = None
    address: str | None = None
    roles: tuple[str, ...] = ()
    trail: Trail | None = field(default=None, compare=False, repr=False)

    def saw(self, keys: Iterable[int]) -> None:
        """Note that it is shown the resources with these keys."""
        if self.trail is not None:
            self.trail.keys.update(keys)

    def read(self, type_name: str, id_: str, version: int) -> None:
        """Note that it is shown a version."""
        if self.trail is not None:
            self.trail.places.add((type_name, id_, version))


def is_service(caller: Caller) -> bool:
    """Return whether an app asks by itself, behind which somebody stands who is not known.

    Whoever registered it may be that: it is no second person beside anyone. Callers of our own
    and operators of the machine, who may do everything, are none.
    """
    return caller.user is None and not caller.roles and ANY not in caller.rights.operator


def trusted(name: str, door: str) -> Caller:
    """Return a caller of our own, as a job or a configured sender, which may do everything."""
    return Caller(name, door, EVERYTHING)
