"""One parameter of a query string, and its refusals.

https://hl7.org/fhir/R4/search.html#escaping
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_server.errors import BadRequest, NotSupported
from fhir_server.search.parameter import Parameter

ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPED = {",": ",", "$": "$", "|": "|", "\\": "\\"}

PREFIXES = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"})
"""https://hl7.org/fhir/R4/search.html#prefix."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A parameter with its modifier and alternatives, still escaped.

    `name` is as it was written, for error texts. `types` are the element types
    of the parameter, `parts` those of a composite's components; `systems` gives
    the codes that required bindings allow, by system. `now` is the time of the
    search in microseconds since 1970, for the prefix `ap`. `parents` are the types
    referred to whose resources lie in one another, with the id of the parameter that
    leads up.
    """

    name: str
    parameter: Parameter
    modifier: str
    values: tuple[str, ...]
    types: frozenset[str] = frozenset()
    parts: tuple[frozenset[str], ...] = ()
    systems: Mapping[str, frozenset[str]] = field(default_factory=dict)
    now: int = 0
    parents: Mapping[str, int] = field(default_factory=dict)

    def refuse(self, text: str) -> BadRequest:
        """Return the refusal of a value; `text` states the rule and quotes nothing."""
        return BadRequest(text, code="value", expression=self.name)

    def unsupported(self, text: str) -> NotSupported:
        """Return the refusal of a modifier or prefix, lenient or not."""
        return NotSupported(text, expression=self.name)

    def unescape(self, text: str) -> str:
        r"""Return `text` with `\\,` `\\$` `\\|` `\\\\` resolved; any other escape is refused."""
        if "\\" not in text:
            return text
        if any(found not in _ESCAPED for found in ESCAPE.findall(text)):
            raise self.refuse(r"A backslash escapes only a comma, '$', '|' or a backslash.")
        return ESCAPE.sub(r"\1", text)

    def prefix(self, value: str) -> tuple[str, str]:
        """Return the comparison prefix (`eq` where none is written) and the rest of `value`."""
        head = value[:2]
        if not head.isalpha():
            return "eq", value
        if head not in PREFIXES:
            if not re.match(r"[\d+-]", value[2:]):
                return "eq", value
            raise self.unsupported(f"Prefixes are {', '.join(sorted(PREFIXES))}.")
        return head, value[2:]


def split(text: str, separator: str) -> list[str]:
    """Return the parts of `text` between separators that no backslash escapes."""
    if "\\" not in text:
        return text.split(separator)
    parts = [""]
    escaped = False
    for character in text:
        if character == separator and not escaped:
            parts.append("")
            continue
        parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts
