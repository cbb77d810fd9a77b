"""Random queries: what would find an element, and near misses of it."""

import random
import re
from datetime import date, timedelta

from . import reference
from .corpus import Corpus, Pairs
from .definitions import UCUM, Parameter
from .escaping import escape, unescape
from .fhirpath import Node, evaluate
from .string import normalise
from .writing import WITHOUT_SYSTEM, Asked, finding

PREFIXES = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]
STRANGE = [
    "Encounter", "MolecularSequence", "Observation", "Observation", "Patient", "RiskAssessment",
    "ValueSet",
]  # fmt: skip


def offered(corpus: Corpus, parameter: Parameter, asked: Asked) -> bool:
    """Return whether the type that a modifier names is one that the reference may lead to."""
    modifier, _ = asked
    return not modifier[:1].isupper() or modifier in corpus.targets(parameter)


def sure(corpus: Corpus, parameter: Parameter, node: Node, asked: Asked) -> bool:
    """Return whether the element must be found; a bare id can mean a resource of another type."""
    if parameter.type != "reference" or not reference.ID.fullmatch(asked[1]):
        return True
    return any(map(corpus.leads, corpus.indexed("reference", node)))


class Asker:
    """Random queries over a corpus."""

    def __init__(self, corpus: Corpus, chance: random.Random) -> None:
        self.corpus, self.chance = corpus, chance
        self.types = sorted(corpus.resources)

    def query(self) -> tuple[str, Pairs]:
        """Return a type and one to three parameters."""
        type_name = self._type()
        count = self.chance.choice([1, 1, 1, 2, 3])
        return type_name, [self.pair(type_name) for _ in range(count)]

    def _type(self) -> str:
        """Return a type: a strange one, or each as likely as the root of how many there are."""
        if self.chance.random() < 0.4:
            return self.chance.choice(STRANGE)
        weights = [len(self.corpus.resources[name]) ** 0.5 for name in self.types]
        return self.chance.choices(self.types, weights)[0]

    def pair(self, type_name: str, depth: int = 0) -> tuple[str, str]:
        """Return one parameter: plain, or a chain, or `_has`."""
        die = self.chance.random()
        if depth < 2 and die < 0.12:
            found = self._chain(type_name, depth)
        elif depth < 2 and die < 0.2:
            found = self._has(type_name, depth)
        else:
            found = None
        return found or self._plain(type_name)

    def _plain(self, type_name: str) -> tuple[str, str]:
        while True:
            parameter = self._parameter(type_name)
            if parameter.type != "composite" and self.chance.random() < 0.07:
                return f"{parameter.code}:missing", self.chance.choice(["true", "false"])
            asked = self._asked(parameter)
            if asked is None:
                continue
            modifier, value = asked
            if self.chance.random() < 0.25:
                more = [self._asked(parameter) for _ in range(3)]
                value = ",".join([value, *(one[1] for one in more if one and one[0] == modifier)])
            if parameter.type == "token" and not modifier and self.chance.random() < 0.1:
                modifier = "not"
            return f"{parameter.code}:{modifier}" if modifier else parameter.code, value

    def _parameter(self, type_name: str) -> Parameter:
        parameters = self.corpus.package.parameters[type_name]
        codes = [code for code in sorted(parameters) if code not in ("_id", "_lastUpdated")]
        harder = [c for c in codes if parameters[c].type in ("date", "number", "quantity")]
        if harder and self.chance.random() < 0.3:
            codes = harder
        return parameters[self.chance.choice(codes)]

    def _node(self, parameter: Parameter) -> Node | None:
        """Return an element of a resource that has one; few are tried."""
        selected = self.corpus.selected(parameter)
        valued = [nodes for nodes in selected.values() if nodes]
        return self.chance.choice(self.chance.choice(valued)) if valued else None

    def _asked(self, parameter: Parameter) -> Asked | None:
        node = self._node(parameter)
        if node is None:
            return None
        if parameter.type == "composite":
            return self._composite(parameter, node)
        asked = self._one(parameter.type, node, near=self.chance.random() < 0.6)
        return asked if asked and offered(self.corpus, parameter, asked) else None

    def _one(self, kind: str, node: Node, *, near: bool, alone: bool = True) -> Asked | None:
        found = list(finding(self.corpus.package, kind, node, alone=alone))
        if not alone:
            found = [one for one in found if not one[0]]
        if not found:
            return None
        modifier, value = self.chance.choice(found)
        return (modifier, self._near(kind, node, modifier, value)) if near else (modifier, value)

    def _composite(self, parameter: Parameter, element: Node) -> Asked | None:
        """Return a value for each component, mostly of this element, sometimes of another."""
        values = []
        for part in parameter.components:
            from_ = element if self.chance.random() < 0.7 else self._node(parameter) or element
            nodes = evaluate(self.corpus.package, part.expression, from_)
            one = nodes and self._one(
                part.type, self.chance.choice(nodes), near=self.chance.random() < 0.3, alone=False
            )
            if not one:
                return None
            values.append(one[1])
        return "", "$".join(values)

    def _near(self, kind: str, node: Node, modifier: str, value: str) -> str:
        """Return a value close to the given one; it may match or not."""
        match kind:
            case "date":
                return self._near_date(value)
            case "number" | "quantity":
                return self._near_number(value)
            case "string" if modifier != "exact":
                change = self.chance.choice([str.upper, str.title, lambda text: text[:-1]])
                changed = change(unescape(value))
                return escape(changed) if normalise(changed) else value
            case "token" if not modifier and "|" not in value:
                system = "" if node.type in WITHOUT_SYSTEM else "|"
                return self.chance.choice([value.upper(), value.lower(), f"{system}{value}"])
            case "uri" | "reference" if "|" not in value and modifier in ("", "below", "above"):
                return value + self.chance.choice(["|1", "|1.2", "/", "x", "/x"])
        return value

    def _near_date(self, value: str) -> str:
        text = re.sub(r"^[a-z]{2}", "", value)
        prefix = self.chance.choice([*PREFIXES, "", ""])
        return prefix + self._shifted(text)

    def _shifted(self, text: str) -> str:
        """Return the date, or one beside it, in another precision."""
        match self.chance.randrange(6):
            case 0 if len(text) >= 10:
                day = date.fromisoformat(text[:10])
                if date.min < day < date.max:
                    return str(day + timedelta(days=self.chance.choice([-1, 1])))
            case 1:
                return text[:4]
            case 2 if len(text) >= 7:
                return text[:7]
            case 3 if len(text) >= 10:
                return text[:10]
            case 4 if len(text) >= 10:
                zone = self.chance.choice(["Z", "+05:30", "-11:00"])
                time = self.chance.choice(["00:00", "23:59:60", "12:30:15.25", "23:59:59"])
                return f"{text[:10]}T{time}{zone}"
        return text

    def _near_number(self, value: str) -> str:
        text, bar, unit = re.sub(r"^[a-z]{2}", "", value).partition("|")
        prefix = self.chance.choice([*PREFIXES, "", "", ""])
        match self.chance.randrange(7):
            case 0:
                text = f"{float(text):.0f}"
            case 1:
                text = f"{float(text):.2f}"
            case 2:
                text = f"{float(text):.0e}"
            case 3:
                text = f"{float(text) * 1.05:.3g}"
            case 4:
                text = f"{float(text) + 1:.1f}"
        if bar and f"|{UCUM}|" in value and self.chance.random() < 0.4:
            unit = self._other_unit(unit)
            if self.chance.random() < 0.5:
                text = f"{float(text) / 1000:.4g}"
        return f"{prefix}{text}{bar}{unit}"

    def _other_unit(self, unit: str) -> str:
        system, _, code = unit.partition("|")
        families = [
            ["g", "mg", "ug", "kg"], ["mmol/L", "umol/L", "mol/m3"], ["Cel", "[degF]", "K"],
            ["mg/dL", "g/L", "g/dL"], ["%", "{score}", "1"], ["min", "h", "d", "s"],
            ["cm", "m", "[in_i]"], ["mm[Hg]", "kPa"], ["/min", "{beats}/min", "Hz"],
        ]  # fmt: skip
        family = next((f for f in families if code in f), ["mg", code])
        return f"{system}|{self.chance.choice(family)}"

    def _chain(self, type_name: str, depth: int) -> tuple[str, str] | None:
        led = self._led(type_name)
        if led is None:
            return None
        parameter, target = led
        rest, value = self.pair(target, depth + 1)
        return f"{parameter.code}:{target}.{rest}", value

    def _has(self, type_name: str, depth: int) -> tuple[str, str] | None:
        for _ in range(20):
            source = self._type()
            led = self._led(source)
            if led is not None and led[1] == type_name:
                rest, value = self.pair(source, depth + 1)
                return f"_has:{source}:{led[0].code}:{rest}", value
        return None

    def _led(self, type_name: str) -> tuple[Parameter, str] | None:
        """Return a reference parameter of a type, and a type that it leads to in the data."""
        parameters = self.corpus.package.parameters[type_name].values()
        references = sorted(p.code for p in parameters if p.type == "reference")
        self.chance.shuffle(references)
        for code in references[:8]:
            parameter = self.corpus.package.parameters[type_name][code]
            stored = self.corpus.values(parameter).values()
            led = {v.literal.type for values in stored for v in values if self.corpus.leads(v)}
            led &= self.corpus.targets(parameter)
            if led:
                return parameter, self.chance.choice(sorted(led))
        return None
