"""What consents of patients let through.

https://hl7.org/fhir/R4/consent.html
"""

from collections.abc import Iterable, Iterator

from fhir_server.access.inside import PATIENT
from fhir_server.access.purposes import EMERGENCIES, with_broader
from fhir_server.rights import ANY, Consented, Grant, Limit, Opened, Wall
from fhir_server.search.compartment import Compartment, membership
from fhir_server.search.condition import ALWAYS, Condition, Not, either
from fhir_server.search.parameter import parameter_id
from fhir_server.search.terms import term
from fhir_server.search.token import implied_term
from fhir_server.search.withholding import Asking, Record, Withheld
from fhir_server.server import Server

ALERTS = frozenset(("AllergyIntolerance", "DetectedIssue", "Flag"))
"""What warns of danger: consents that are not understood do not keep it."""

BREAKING = "BTG"
PROXY = "RelatedPerson/"
"""Who acts for a patient does so by a consent."""
_ACTIONS = {"access": ("access", "use")}
_UPWARD = (
    ("Organization", "partof"),
    ("PractitionerRole", "organization"),
    ("PractitionerRole", "practitioner"),
)
_MEMBERSHIP = (
    ("CareTeam", "participant"),
    ("Group", "member"),
    ("PractitionerRole", "practitioner"),
)


def wall(
    actors: Iterable[str], purpose: str, *, user: str | None = None, disclosing: bool = False
) -> Wall:
    """Return what consents let through for these actors (references) and this purpose.

    `user` is who may have records opened in an emergency, which is a purpose of its own;
    `disclosing`: who asks belongs to another organisation.
    """
    who = tuple(actors)

    def consented(*actions: str, of: str = purpose) -> tuple[Limit, ...]:
        more = ("disclose",) if disclosing else ()
        return tuple(Consented(who, of, one) for one in (*actions, *more))

    opened = (Opened(user or ""), *consented("access", of=BREAKING))
    return (
        Grant(ANY, "rs", consented("access")),
        Grant(ANY, "c", consented("collect")),
        Grant(ANY, "ud", consented("access", "correct")),
        *((Grant(ANY, "rs", opened),) if user and user.startswith("Practitioner") else ()),
    )


def compiled(server: Server, limit: Consented, type_name: str) -> Condition:
    """Return the condition that no consent keeps a resource of the type from who asks.

    What patients ask for of their own records is theirs.
    """
    registry = server.registry
    known = registry.definitions.compartments[PATIENT]
    if type_name != PATIENT and not known.get(type_name):
        return ALWAYS
    params: tuple[int, ...] = ()
    if type_name != PATIENT:
        indexed = registry.plan(type_name).indexed
        params = tuple(dict.fromkeys(p.id for code in known[type_name] for p in indexed[code]))
    record = Record(registry.context.type_ids[PATIENT], params)
    # What is not understood would keep help away in an emergency.
    unread = limit.purpose not in EMERGENCIES and type_name not in ALERTS
    withheld = Withheld(record, _asking(server, limit), _permitted(server, limit), unread)
    own = [
        membership(registry, Compartment(PATIENT, one.partition("/")[2]), (type_name,))
        for one in limit.actors
        if one.startswith(f"{PATIENT}/")
    ]
    return either([*own, Not(withheld)]) if own else Not(withheld)


def _permitted(server: Server, limit: Consented) -> bool:
    """Return whether it is permitted where no consent decides."""
    settings = server.settings.security.consent
    if limit.action == "disclose":
        return False
    if limit.action == "access" and any(one.startswith(PROXY) for one in limit.actors):
        return False
    if limit.action == "collect":
        # Else nobody could write what there is to consent to, nor the consent.
        return True
    meant = not set(settings.purposes).isdisjoint(with_broader(limit.purpose))
    return settings.base == "permit" and meant


def _asking(server: Server, limit: Consented) -> Asking:
    return Asking(
        actors=tuple(_places(server, limit.actors)),
        upward=tuple(parameter_id(*one) for one in _UPWARD),
        membership=tuple(parameter_id(*one) for one in _MEMBERSHIP),
        ended=tuple(_ended(server)),
        purposes=with_broader(limit.purpose),
        actions=_ACTIONS.get(limit.action, (limit.action,)),
    )


def _places(server: Server, actors: Iterable[str]) -> Iterator[tuple[int, str]]:
    type_ids = server.registry.context.type_ids
    for one in actors:
        type_name, _, id_ = one.partition("/")
        if type_name in type_ids:
            yield type_ids[type_name], id_


def _ended(server: Server) -> Iterator[int]:
    """Yield the terms of teams and roles that are over, or not yet."""
    context = server.registry.context
    for code in ("proposed", "suspended", "inactive", "entered-in-error"):
        yield implied_term(context, parameter_id("CareTeam", "status"), code)
    yield term(context.secret, parameter_id("PractitionerRole", "active"), "code", "false")
