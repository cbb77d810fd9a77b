"""What a group of messages makes of what is stored: resources to create and to change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from adapters.hl7.inbox import links, matching
from adapters.hl7.inbox.links import Waiting
from adapters.hl7.inbox.reconcile import (
    REGRESSION,
    Reconciled,
    literal,
    reconciled,
    same,
    still_cleared,
)
from adapters.hl7.inbox.snapshot import Named, Snapshot
from adapters.hl7.mapping.context import Json, Link, Refusal, Write
from adapters.hl7.mapping.datatypes import hd
from adapters.hl7.mapping.transform import Mapped
from fhir_server.hl7_settings import Hl7Settings

# What more than one message names by a number that anybody may ask for.
_NUMBERED: Final = frozenset(
    ("DocumentReference", "DiagnosticReport", "Encounter", "ServiceRequest", "Specimen")
)


_PROVENANCE: Final = "Provenance"


@dataclass(slots=True)
class Item:
    """A resource as it will be: `reference` is literal where it is stored, else a full URL."""

    reference: str
    resource: Json
    stored: bool
    version: int = 0
    changed: bool = False


@dataclass(slots=True)
class Told:
    """What a message did: the references of its writes, those that it changed, and findings.

    What it `changed` are news, or (False) only the Provenance of what it told. `times` are
    the event times of what it told, by reference, with the report in which its key was
    made; `cleared` what messages deleted of it so far, where they deleted anything.
    """

    references: list[str] = field(default_factory=list)
    changed: dict[str, bool] = field(default_factory=dict)
    times: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    cleared: dict[str, frozenset[str]] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    warnings: dict[str, int] = field(default_factory=dict)
    late: int = 0

    @property
    def stale(self) -> bool:
        """Whether all that it told was older than what is stored, and nothing was empty."""
        return self.late > 0 and not any(self.changed.values()) and not self.waiting

    def warn(self, finding: str) -> None:
        """Count a finding that the operator should see."""
        self.warnings[finding] = self.warnings.get(finding, 0) + 1


@dataclass(slots=True)
class Plan:
    """What is to be written: `items` by reference, `literals` by the full URLs of messages.

    `reports` are the keys of those that were written before, `told` the event times of
    what is stored and `cleared` what messages deleted of it, by its reference. `fresh` are
    the identifiers of what is created.
    """

    snapshot: Snapshot
    settings: Hl7Settings
    reports: Mapping[str, object]
    told: Mapping[str, datetime]
    cleared: dict[str, frozenset[str]] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    literals: dict[str, str] = field(default_factory=dict)
    fresh: dict[Named, str] = field(default_factory=dict)

    def add(self, mapped: Mapped, trust: Mapping[str, str]) -> Told:
        """Take up a message; raises Refusal where it is open what it means."""
        done = Told()
        for write in mapped.writes:
            self._match(write, trust)
        given = self._linked(mapped.links, mapped.writes, done)
        withdrawn = _is_withdrawn(mapped.writes)
        for write in mapped.writes:
            resource = given.get(write.full_url, write.resource)
            if self._traces_nothing(resource, done):
                self.literals.pop(write.full_url, None)
                continue
            self._take(write, resource, done, withdrawn=withdrawn)
        for link in mapped.links:
            self._link_back(link, done)
        return done

    def _traces_nothing(self, given: Json, done: Told) -> bool:
        """Whether it is the Provenance of what the message did not change.

        R4 gives a Provenance no identifier: a message that is sent or replayed again
        would leave another one.
        """
        if given["resourceType"] != "Provenance":
            return False
        targets = (str(one.get("reference", "")) for one in given.get("target", ()))
        return not any(self.literals.get(one, one) in done.changed for one in targets)

    def _match(self, write: Write, trust: Mapping[str, str]) -> None:
        url, kind = write.full_url, write.resource["resourceType"]
        if url in self.literals:
            return
        if is_new(write, self.reports):
            self.literals[url] = url
            self.fresh.update(((kind, token), url) for token in matching.own(write, write.identity))
            return
        named = matching.tokens(write, self.settings.patient_match, trust)
        found = matching.matched(write, named, self.snapshot)
        # Two orders of a message that share a filler number (an accession) are two.
        names = matching.own(write, named)
        own = write.identity if kind == "ServiceRequest" else names
        made = [self.fresh[kind, one] for one in own if (kind, one) in self.fresh]
        self.literals[url] = found or (made[0] if made else url)
        if found is None:
            self.fresh.update(((kind, one), self.literals[url]) for one in names)

    def _linked(
        self, wanted: Sequence[Link], writes: Sequence[Write], done: Told
    ) -> dict[str, Json]:
        """Return the resources with what they refer to; note what is not there yet."""
        given: dict[str, Json] = {}
        if not wanted:
            return given
        sources = {write.full_url: write.resource for write in writes}
        for link in wanted:
            target = self._target(link)
            source = self.literals.get(link.full_url, link.full_url)
            if target is None:
                done.waiting.append(links.waiting(source, link))
            resource = given.get(link.full_url) or sources.get(link.full_url)
            if link.inverse or resource is None:
                continue
            given[link.full_url] = (
                links.logical(resource, link)
                if target is None
                else links.pointed(resource, link.element, link.identity, target)
            )
        return given

    def _target(self, link: Link) -> str | None:
        for token in link.identity:
            if found := self.snapshot.references(link.type, token):
                return found[0]
            if (link.type, token) in self.fresh:
                return self.fresh[link.type, token]
        return None

    def _take(self, write: Write, given: Json, done: Told, *, withdrawn: bool) -> None:
        reference = self.literals[write.full_url]
        done.references.append(reference)
        item = self.items.get(reference) or self._stored(reference)
        if item is None:
            self._create(reference, given, done)
            _note(done, write, reference)
            self._remember(write, reference, done)
            return
        self.items[reference] = item
        given = self._of_its_patient(write, given, item, withdrawn=withdrawn)
        if not self._updates(write, given, item, done):
            return
        known = literal(given, self.literals)
        said = reconciled(
            item.resource,
            _with(write, known),
            self.told.get(reference),
            regression=self.settings.allow_regression,
            cleared=self.cleared.get(reference, frozenset()),
        )
        self._settle(said, write, item, done)

    def _create(self, reference: str, given: Json, done: Told) -> None:
        kind = given["resourceType"]
        self.items[reference] = Item(reference, given, stored=False, changed=True)
        done.changed[reference] = kind != _PROVENANCE
        # Of Observations those that results of other messages may name as their parent.
        if kind in _NUMBERED or (kind == "Observation" and len(given.get("identifier", ())) > 1):
            for one in given.get("identifier", ()):
                if "value" in one:
                    self.fresh.setdefault((kind, hd.token({"system": "", **one})), reference)

    def _settle(self, said: Reconciled, write: Write, item: Item, done: Told) -> None:
        if said.stands == "lesser":
            done.warn(REGRESSION)
        elif said.stands == "late":
            done.late += 1
        else:
            _note(done, write, item.reference)
            self._remember(write, item.reference, done)
        self.change(item, said.resource, done)

    def _remember(self, write: Write, reference: str, done: Told) -> None:
        """Note what the message deletes, as a late one is not to fill it again."""
        before = self.cleared.get(reference, frozenset())
        if before or write.cleared:
            done.cleared[reference] = still_cleared(before, write)
            self.cleared[reference] = done.cleared[reference]

    def change(self, item: Item, resource: Json, done: Told | None) -> None:
        """Make the resource of an item another one, unless it is the same."""
        if same(item.resource, resource):
            return
        item.resource, item.changed = resource, True
        if done is not None:
            done.changed[item.reference] = True

    def _stored(self, reference: str) -> Item | None:
        resource = self.snapshot.resource(reference)
        if resource is None:
            return None
        return Item(reference, resource, stored=True, version=self.snapshot.version(reference))

    def _of_its_patient(self, write: Write, given: Json, item: Item, *, withdrawn: bool) -> Json:
        """Return what is given, refused where it is of somebody else.

        A result that was sent for the wrong person (OBX-11 D, W) is withdrawn where it
        is, whoever the message is about.
        """
        if isinstance(given.get("subject", item.resource.get("subject")), list):
            return given  # an Account may be of several
        subject = str(given.get("subject", {}).get("reference", ""))
        subject = self.literals.get(subject, subject)
        if not withdrawn:
            matching.refuse_other_patient(write.resource, item.resource, subject)
            matching.refuse_other_order(write.resource, item.resource)
        elif "subject" in item.resource:
            return {name: said for name, said in given.items() if name != "subject"}
        return given

    def _updates(self, write: Write, given: Json, item: Item, done: Told) -> bool:
        if given["resourceType"] != "Patient":
            return write.method == "PUT"
        said = self.settings.patient_update
        updates = said == "all" or (said == "adt" and write.method == "PUT")
        if not updates and item.stored and matching.clashes(given, item.resource):
            if self.settings.strict_demographics:
                raise Refusal("PATIENT_CONFLICT", matching.CLASH, "PID", "204")
            done.warn(matching.CLASH)
        return updates

    def _link_back(self, link: Link, done: Told) -> None:
        """Have the target of an inverse link refer to what the message brought."""
        target = self._target(link) if link.inverse else None
        if target is not None:
            source = self.literals.get(link.full_url, link.full_url)
            self.point(target, link.element, (), source, done)

    def point(
        self,
        holder: str,
        element: str,
        tokens: Sequence[str],
        reference: str,
        done: Told | None = None,
    ) -> None:
        """Have a resource refer to another one, if it is there."""
        item = self.items.get(holder) or self._stored(holder)
        if item is not None:
            self.items[holder] = item
            self.change(item, links.pointed(item.resource, element, tokens, reference), done)

    def arrived(self, one: Waiting) -> None:
        """Make a link that waited literal, now that its target is created."""
        found = (self.fresh.get((one.type, token)) for token in one.identity)
        target = next((reference for reference in found if reference), None)
        if target is None:
            return
        if one.inverse:
            self.point(target, one.element, (), one.source)
        else:
            self.point(one.source, one.element, one.identity, target)


def is_new(write: Write, reports: Mapping[str, object]) -> bool:
    """Whether the key was made in a report that was never written: nothing is to be found."""
    return bool(write.within) and write.within not in reports


def _with(write: Write, resource: Json) -> Write:
    return Write(
        write.method,
        write.full_url,
        write.identity,
        resource,
        write.within,
        write.cleared,
        write.event_time,
        write.effect,
    )


def _note(done: Told, write: Write, reference: str) -> None:
    if write.method == "PUT" and write.event_time is not None:
        done.times[reference] = (write.within, write.event_time)


def _is_withdrawn(writes: Sequence[Write]) -> bool:
    """Whether the message only takes results back."""
    found = [w.resource for w in writes if w.resource["resourceType"] == "Observation"]
    return bool(found) and all(one.get("status") == "entered-in-error" for one in found)
