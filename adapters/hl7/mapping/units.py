"""Units as they were sent, and their UCUM codes.

https://ucum.org/ucum
"""

import re
from functools import lru_cache
from typing import Final

from adapters.hl7.mapping.context import Json

UCUM: Final = "http://unitsofmeasure.org"

_SYNONYMS: Final = {  # keys have l for L
    "10^3/ul": "10*3/uL",
    "10e3/ul": "10*3/uL",
    "x10^3/ul": "10*3/uL",
    "x10*3/ul": "10*3/uL",
    "10*3/ul": "10*3/uL",
    "K/ul": "10*3/uL",
    "10^9/l": "10*9/L",
    "x10^9/l": "10*9/L",
    "10*9/l": "10*9/L",
    "G/l": "10*9/L",
    "10^6/ul": "10*6/uL",
    "x10^6/ul": "10*6/uL",
    "10*6/ul": "10*6/uL",
    "M/ul": "10*6/uL",
    "million/cumm": "10*6/uL",
    "10^12/l": "10*12/L",
    "x10^12/l": "10*12/L",
    "10*12/l": "10*12/L",
    "T/l": "10*12/L",
    "lakh/cumm": "10*5/uL",
    "lakhs/cumm": "10*5/uL",
    "cells/cumm": "{cells}/uL",
    "gm/dl": "g/dL",
    "g%": "g/dL",
    "gm%": "g/dL",
    "IU/l": "[IU]/L",
    "uIU/ml": "u[IU]/mL",
    "mIU/ml": "m[IU]/mL",
    "IU/ml": "[IU]/mL",
    "mcg/dl": "ug/dL",
    "mEq/l": "meq/L",
    "mm/hr": "mm/h",
    "mm/1st hr": "mm/h",
    "sec": "s",
    "secs": "s",
    "seconds": "s",
    "fl": "fL",
    "/HPF": "/[HPF]",
    "/LPF": "/[LPF]",
}
# Some instruments know only capitals. G/L and T/L are not among these: they are counts.
_MIXED: Final = (
    "mg/dL g/dL mmol/L umol/L nmol/L pmol/L ng/mL ng/dL pg/mL ug/dL ug/mL ug/L ug/mg meq/L mg/L"
    " mL mL/min mm pg fL"
)
_CAPITALS: Final = {
    **{text.upper(): text for text in _MIXED.split()},
    "IU/L": "[IU]/L",
    "UIU/ML": "u[IU]/mL",
    "MIU/ML": "m[IU]/mL",
    "MIU/L": "m[IU]/L",
    "IU/ML": "[IU]/mL",
    "MM/HR": "mm/h",
    "SEC": "s",
}

# Atoms that laboratories use. C, T, F, K and their like are left out: an analyzer that writes
# them alone means degrees or counts, where UCUM means coulomb or tesla.
_PREFIXES = "T G M k h da d c m u n p f a z y"
_METRIC = "m g mol s Hz Pa J V W Ohm Cel Bq Gy Sv L l bar eV U kat eq osm cal [IU] [iU]"
_PLAIN = (
    "10* 10^ % [ppth] [ppm] [ppb] [pptr] min h d a wk mo deg [degF] [in_i] [ft_i] [lb_av] [oz_av]"
    " [arb'U] [USP'U] [HPF] [LPF] [CFU] [PFU] [AU] [BAU] [GPL'U] [MPL'U] [APL'U] [beth'U]"
    " [todd'U] [dye'U] [ka'U] [knk'U] [Amb'U] [mclg'U] [ELU] [EU] [pH] [drp] [CCID_50] [TCID_50]"
    " [EID_50] [FFU] [Lf] [D'ag'U] [S] m[Hg]"
)


def _any(names: str) -> str:
    """Return a pattern that matches one of the names, the longest first."""
    return "|".join(re.escape(name) for name in sorted(names.split(), key=len, reverse=True))


_SIMPLE = (
    rf"(?:(?:{_any(_METRIC)}|{_any(_PLAIN)})"
    rf"|(?:{_any(_PREFIXES)})(?:{_any(_METRIC)}|m\[Hg\]))"
)
_COMPONENT = rf"(?:(?:{_SIMPLE})(?:[+-]?\d+)?(?:\{{[!-z|~]*\}})?|\d+|\{{[!-z|~]*\}})"
_SMALL_LITRE = re.compile(r"((?:\A|[/.])[dcmunpf]?)l\b")
_EXPRESSION = re.compile(rf"/?{_COMPONENT}(?:[./]{_COMPONENT})*\Z")


@lru_cache(4096)
def ucum(text: str) -> str:
    """Return the UCUM code of a unit as laboratories write it, "" where none is known."""
    plain = re.sub(r"\s+", " ", text.replace("µ", "u").replace("μ", "u")).strip()
    litre = plain.replace("L", "l")
    if found := _SYNONYMS.get(litre) or _CAPITALS.get(plain):
        return found
    if not _EXPRESSION.match(plain):
        return ""
    return _SMALL_LITRE.sub(r"\1L", plain)


def members(unit: str, code: str = "") -> Json:
    """Return the members of a Quantity: the unit as sent, and the UCUM code if there is one."""
    if not unit:
        return {}
    found = ucum(code or unit)
    return {"unit": unit, "system": UCUM, "code": found} if found else {"unit": unit}
