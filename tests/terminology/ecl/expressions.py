"""Random expression constraints about the universe, as text."""

import random

from universe import (
    ATTRIBUTES,
    FLAG,
    GB,
    HISTORICAL,
    MODULES,
    NUMBER,
    REFSETS,
    SAME_AS,
    TEXT,
    TIMES,
    US,
)

OPERATORS = ("", "", "<", "<<", "<!", "<<!", ">", ">>", ">!", ">>!", "<< ", "!!>", "!!<")
CARDINALITIES = ("", "", "", "[1..*] ", "[0..0] ", "[0..1] ", "[1..1] ", "[2..*] ", "[0..*] ")


class Author:
    def __init__(self, chance: random.Random, codes: list[str]) -> None:
        self.chance, self.codes = chance, codes

    def one(self, *choices: str) -> str:
        return self.chance.choice(choices)

    def expression(self, depth: int) -> str:
        kind = self.chance.randrange(10) if depth else 9
        if kind < 3:
            return f"{self.sub(depth)} : {self.refinement(depth - 1)}"
        if kind < 5:
            word = self.one(" AND ", ", ", " OR ")
            return word.join(self.sub(depth - 1) for _ in range(self.chance.choice((2, 3))))
        if kind == 5:
            return f"{self.sub(depth - 1)} MINUS {self.sub(depth - 1)}"
        if kind == 6:
            return f"{self.sub(depth - 1)} . {self.name()}"
        return self.sub(depth)

    def sub(self, depth: int) -> str:
        operator = self.one(*OPERATORS)
        kind = self.chance.randrange(12)
        if depth > 0 and kind < 2:
            text = f"{operator} ({self.expression(depth - 1)})"
        elif kind < 4:
            text = f"{operator} {self.members()}"
        elif kind == 4:
            text = f"{operator} *"
        else:
            text = f"{operator} {self.chance.choice(self.codes)}"
        if self.chance.random() < 0.15:
            text += f" {{{{ C {self.concept_filter()} }}}}"
        if self.chance.random() < 0.1:
            text += f" {{{{ D {self.description_filter()} }}}}"
        return text + (self.history() if self.chance.random() < 0.1 else "")

    def history(self) -> str:
        return self.one(
            " {{+HISTORY}}",
            " {{ + HISTORY-MIN }}",
            " {{+history_max}}",
            f" {{{{ + HISTORY ({SAME_AS} OR {REFSETS[0]}) }}}}",
            f" {{{{ + HISTORY (< {HISTORICAL}) }}}}",
            " {{ + HISTORY (*) }}",
        )

    def members(self) -> str:
        refset = self.one(*REFSETS, SAME_AS, "*", f"({REFSETS[0]} OR {REFSETS[1]})", self.codes[0])
        text = f"^ {refset}"
        if self.chance.random() < 0.2:
            field = self.one("targetComponentId", "refsetId", "referencedComponentId")
            text = f"^ [{field}] {self.one(SAME_AS, '*')}"
        return text + (f" {{{{ M {self.member_filter()} }}}}" if self.one("", "y") else "")

    def member_filter(self) -> str:
        sign = self.one("=", "!=")
        return self.one(
            f'mapTarget {sign} "J45"',
            f'mapTarget {sign} wild:"J*9"',
            f"mapGroup {self.one('=', '!=', '<', '>=')} #2",
            f"active {sign} {self.one('0', 'true')}",
            "active = *",
            f"referencedComponentId {sign} << {self.chance.choice(self.codes)}",
            f"correlationId {sign} << {self.chance.choice(self.codes)}, mapGroup = #1",
            f"targetComponentId {sign} {self.sub(0)}",
        )

    def concept_filter(self) -> str:
        sign = self.one("=", "!=")
        return self.one(
            f"active {sign} {self.one('1', '0', 'false')}",
            f"definitionStatus {sign} {self.one('primitive', 'defined', '(primitive defined)')}",
            f'effectiveTime {self.one("=", "!=", "<", ">=")} "{self.one(*TIMES)}"',
            f'effectiveTime = ("{TIMES[0]}" "{TIMES[1]}"), active = 1',
            f"moduleId {sign} {self.one(MODULES[0], f'({MODULES[0]} {MODULES[1]})', '*')}",
        )

    def description_filter(self) -> str:
        sign = self.one("=", "!=")
        return self.one(
            f"term {sign} {self.text()}",
            f"term = {self.text()}, type {sign} {self.one('syn', 'fsn', '(syn fsn)')}",
            f"language {sign} en, active = 1",
            f"dialect {sign} en-gb {self.one('', '(prefer)', '(accept)')}",
            f"dialectId {sign} ({US} (prefer) {GB} (accept))",
            "active = 0",
            f"id {sign} (2000001 2000002 2000007)",
        )

    def text(self) -> str:
        return self.one(
            '"acu"', '"HEART fail"', 'wild:"*HEART*"', '("lung" wild:"50%*")', 'wild:"under_s*"'
        )

    def refinement(self, depth: int) -> str:
        kind = self.chance.randrange(10)
        if depth > 0 and kind < 2:
            return f"({self.refinement(depth - 1)})"
        if depth > 0 and kind < 5:
            word = self.one(", ", " AND ", " OR ")
            return word.join(f"({self.refinement(depth - 1)})" for _ in range(2))
        if kind < 7:
            word = self.one(", ", " OR ")
            inner = word.join(self.attribute(depth) for _ in range(self.chance.choice((1, 2, 2))))
            return f"{self.one(*CARDINALITIES)}{{ {inner} }}"
        reverse = "R " if self.chance.random() < 0.2 else ""
        if reverse:
            return self.one(*CARDINALITIES) + reverse + self.comparison(depth)
        return self.attribute(depth)

    def attribute(self, depth: int) -> str:
        cardinality = self.one(*CARDINALITIES)
        kind = self.chance.randrange(8)
        if kind == 0:
            sign = self.one("=", "!=", "<", ">=", "<=", ">")
            return f"{cardinality}{NUMBER} {sign} #{self.one('2', '0.5', '+10')}"
        if kind == 1:
            return f"{cardinality}{TEXT} {self.one('=', '!=')} {self.text()}"
        if kind == 2:
            return f"{cardinality}{FLAG} {self.one('=', '!=')} {self.one('true', 'FALSE')}"
        return cardinality + self.comparison(depth)

    def comparison(self, depth: int) -> str:
        return f"{self.name()} {self.one('=', '=', '!=')} {self.sub(max(depth - 1, 0))}"

    def name(self) -> str:
        named = (
            *ATTRIBUTES,
            *ATTRIBUTES,
            "*",
            f"<< {ATTRIBUTES[0]}",
            f"({ATTRIBUTES[0]} OR {NUMBER})",
        )
        return self.one(*named)
