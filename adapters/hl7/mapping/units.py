"""Units as they were sent, and their UCUM codes.

A code is given only where it means exactly what was sent: values are never converted.

https://ucum.org/ucum
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from adapters.hl7.mapping.context import Json
from adapters.hl7.message.tokenizer import Repetition
from terminology.ucum.unit import unit as unit_of

UCUM: Final = "http://unitsofmeasure.org"

# Spellings of a code, without blanks; capitals make no difference in these. A cubic
# millimetre is a microlitre.
_SPELLINGS: Final = {
    "10*3/uL": "10^3/ul 10e3/ul x10^3/ul x10*3/ul 10*3/ul x10e3/ul k/ul k/cumm k/mm3 10^3/mm3"
    " x10^3/mm3 10^3/cumm x10^3/cumm thou/ul thou/cumm thou/mm3 thousand/ul thousand/cumm"
    " thousand/mm3 thousands/cumm thousands/ul 10^3/cu.mm thou/cu.mm 1000/ul x1000/ul",
    "10*9/L": "10^9/l x10^9/l 10*9/l x10*9/l 10e9/l x10e9/l",
    "10*6/uL": "10^6/ul x10^6/ul 10*6/ul x10*6/ul 10e6/ul x10e6/ul million/cumm millions/cumm"
    " million/ul million/mm3 mill/cumm mill/ul mill/mm3 mil/cumm mil/ul 10^6/mm3 x10^6/mm3"
    " 10^6/cumm x10^6/cumm million/cu.mm mill/cu.mm",
    "10*12/L": "10^12/l x10^12/l 10*12/l x10*12/l 10e12/l x10e12/l",
    "10*5/uL": "lakh/cumm lakhs/cumm lac/cumm lacs/cumm lakh/ul lakhs/ul lakh/mm3 lakhs/mm3"
    " lakh/cu.mm lakhs/cu.mm 10^5/ul x10^5/ul 10^5/cumm",
    "{cells}/uL": "cells/cumm cells/ul cells/mm3 cell/cumm cell/ul cell/mm3 cells/cu.mm",
    "/uL": "/cumm /mm3 /cu.mm /ul",
    "g/dL": "gm/dl gms/dl g% gm% gms% gram% grams/dl gram/dl g/100ml gm/100ml",
    "mg/dL": "mg% mgs% mgm/dl mgm% mgs/dl mg/100ml",
    "ug/dL": "mcg/dl ug% mcg% ugm/dl",
    "ug/L": "mcg/l ugm/l",
    "ug/mL": "mcg/ml ugm/ml",
    "g/L": "gm/l gms/l grams/l",
    "g": "gm gms gram grams gm.",
    "mmol/L": "mmols/l mmol/lt mmol/ltr mmole/l mmoles/l",
    "meq/L": "meq/l meq/lt",
    "[IU]/L": "iu/l",
    "U/L": "u/l",
    "u[IU]/mL": "uiu/ml mciu/ml",
    "m[IU]/mL": "miu/ml",
    "m[IU]/L": "miu/l",
    "[IU]/mL": "iu/ml",
    "mm/h": "mm/hr mm/1sthr. mm/hour mm/1sthr mm/1sthour mm/firsthour mm/1hr mmin1sthr mmin1sthour"
    " mm1sthr mmat1hr mm/hr.",
    "s": "sec secs second seconds sec. secs.",
    "min": "mins minute minutes min.",
    "h": "hr hrs hour hours",
    "fL": "femtolitre femtolitres femtoliter femtoliters cu.micron cumicron cubicmicron",
    "pg": "picogram picograms pgm",
    "/[HPF]": "/hpf",
    "/[LPF]": "/lpf",
    "{cells}/[HPF]": "cells/hpf",
    "mm[Hg]": "mmhg mmofhg",
    "Cel": "degc deg.c °c",
    "[degF]": "degf deg.f °f",
    "kg": "kgs kg. kilogram kilograms",
    "cm": "cms cm. centimetre centimetres",
    "kg/m2": "kg/m^2 kg/sq.m kg/sqm",
    "mL/min/{1.73_m2}": "ml/min/1.73m2 ml/min/1.73m^2 ml/min/1.73sq.m ml/min/1.73sqm"
    " ml/min/1.73m*2",
    "mg/(24.h)": "mg/24hrs mg/24hr mg/24h mg/24hours",
    "g/(24.h)": "g/24hrs g/24hr g/24h gm/24hrs gm/24hr",
    "mg/d": "mg/day",
    "mL/(24.h)": "ml/24hrs ml/24hr ml/24h",
    "mg/g{creat}": "mg/gcreatinine mg/gmcreatinine mg/gcreat mg/gmcreat",
    "ug/mg{creat}": "ug/mgcreatinine mcg/mgcreatinine ug/mgcreat mcg/mgcreat",
    "mosm/kg": "mosm/kgh2o mosmol/kg mosmol/kgh2o",
    "{copies}/mL": "copies/ml",
    "{INR}": "inr",
    "{ratio}": "ratio",
    "%": "percent",
}
# What is written in one way only by those who know UCUM: any capitals are the same unit. g/L
# is not among these: G/L and T/L are counts.
_ANY_CAPITALS: Final = (
    "mg/dL g/dL mmol/L umol/L nmol/L pmol/L ng/mL ng/dL pg/mL ug/dL ug/mL ug/L ug/mg meq/L mg/L"
    " mL mL/min mm pg fL mosm/kg ng/L mg/mL mmol/mol"
)
_SYNONYMS: Final = {
    **{name.casefold(): name for name in _ANY_CAPITALS.split()},
    **{name: code for code, names in _SPELLINGS.items() for name in names.split()},
}
_AS_WRITTEN: Final = {"G/L": "10*9/L", "T/L": "10*12/L", "G/l": "10*9/L", "T/l": "10*12/L"}
_MILLION: Final = {"M/uL": "10*6/uL", "M/ul": "10*6/uL"}
_RAISED: Final = "\N{SUPERSCRIPT ZERO}\N{SUPERSCRIPT ONE}²³\N{SUPERSCRIPT FOUR}" + "".join(
    map(chr, range(0x2075, 0x207A))
)
_LETTERS: Final = str.maketrans(
    {
        "µ": "u",
        "μ": "u",
        "\N{MULTIPLICATION SIGN}": "x",
        **dict(zip(_RAISED, "0123456789", strict=True)),
    }
)
_POWER: Final = re.compile(rf"10(?=[{_RAISED}])")
# A cubic millimetre, a microlitre and a litre as India's and America's laboratories write them.
_VOLUME: Final = re.compile(r"(?:cu|c)\.?mm\.?\Z", re.IGNORECASE)
_MICROLITRE: Final = re.compile(r"mcl\.?\Z", re.IGNORECASE)
_LITRE: Final = re.compile(r"/(?:litre|liter|ltr|lt|l\.)\Z", re.IGNORECASE)
# A text that is itself a power (`10*3/uL`, `10e3/uL`, `1000/uL`) is a name, no exponent.
_EXPONENT: Final = re.compile(r"[+-]?\d{1,2}(?:[^\d.*eE].*)?\Z")
_LONGEST: Final = 100

# Atoms that laboratories use. C, T, F, K and their like are left out: an analyzer that writes
# them alone means degrees or counts, where UCUM means coulomb or tesla.
# No laboratory means millions of grams, litres or units: `Gm` is a gram, `MU/L` a thousandth.
_PREFIXES = "k h da d c m u n p f a z y"
_LARGE = "T G M"
_OF_LARGE = "Hz Pa J V W Ohm Bq Sv eV"
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
    rf"|(?:{_any(_PREFIXES)})(?:{_any(_METRIC)}|m\[Hg\])"
    rf"|(?:{_any(_LARGE)})(?:{_any(_OF_LARGE)}))"
)
_COMPONENT = rf"(?:(?:{_SIMPLE})(?:[+-]?\d+)?(?:\{{[!-z|~]*\}})?|\d+|\{{[!-z|~]*\}})"
_SMALL_LITRE = re.compile(r"((?:\A|[/.])[dcmunpf]?)l\b")
_EXPRESSION = re.compile(rf"/?{_COMPONENT}(?:[./]{_COMPONENT})*\Z")


def parts(rep: Repetition) -> tuple[str, str, str]:
    """Return code, text and system of a unit, a power put together again.

    Analyzers write `10^3/uL` and `kg/m^2` as they are, whose mark then parts components: what
    remained would be another unit.
    """
    code, text, system = rep.peek(1), rep.peek(2), rep.peek(3)
    if text and _EXPONENT.match(system):
        return code, f"{text}^{system}", rep.peek(4)
    if code and _EXPONENT.match(text):
        return f"{code}^{text}", "", system
    return code, text, system


@lru_cache(4096)
def ucum(text: str) -> str:
    """Return the UCUM code of a unit as laboratories write it, "" where none is known."""
    if len(text) > _LONGEST:
        return ""
    plain = _POWER.sub("10^", text).translate(_LETTERS)
    plain = re.sub(r"\s+", " ", plain).strip()
    dense = _VOLUME.sub("cumm", plain.replace(" ", ""))
    dense = _MICROLITRE.sub("uL", _LITRE.sub("/L", dense))
    found = _AS_WRITTEN.get(dense) or _MILLION.get(dense) or _SYNONYMS.get(dense.casefold())
    if found:
        return found
    if not _EXPRESSION.match(plain):
        return ""
    code = _SMALL_LITRE.sub(r"\1L", plain)
    return code if is_ucum(code) else ""


def is_ucum(text: str) -> bool:
    """Whether this is a code that UCUM knows, in its own spelling."""
    return bool(text) and not re.search(r"\s", text) and unit_of(text) is not None


def members(
    unit: str,
    code: str = "",
    agreed: Mapping[str, str] | None = None,
    *,
    declared: bool = False,
) -> Json:
    """Return the members of a Quantity: the unit as sent, and the UCUM code if there is one.

    `agreed` are UCUM codes by unit as sent, which come first; "" says that there is none.
    `declared` tells that the sender calls `code` UCUM: then any code of UCUM is taken.
    """
    if not unit:
        return {}
    if agreed and (said := agreed.get(unit, agreed.get(code))) is not None:
        found = said
    else:
        found = code if declared and is_ucum(code) else ucum(code or unit)
    return {"unit": unit, "system": UCUM, "code": found} if found else {"unit": unit}
