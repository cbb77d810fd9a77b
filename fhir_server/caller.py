"""Who asks."""

from dataclasses import dataclass

from fhir_server.rights import EVERYTHING, NOTHING, Rights


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated party of a request, message or association.

    `name` identifies it in logs and audit, and binds its page links; `door` is how it came in
    (`rest`, `dicomweb`, `hl7`, `dicom`, `worker`, `cli`). Unless `rights` are given it may do
    nothing.

    `user` is the person as a reference (`Practitioner/1`), `client` the id of the app,
    `patient` the id of the patient in context, `purpose` a code of v3-PurposeOfUse, `token`
    the token's `jti`, `session` that of a login, `address` the network address.
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
    address: str | None = None


def trusted(name: str, door: str) -> Caller:
    """Return a caller of our own, as a job or a configured sender, which may do everything."""
    return Caller(name, door, EVERYTHING)
