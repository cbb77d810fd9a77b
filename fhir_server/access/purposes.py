"""Purposes of use.

https://terminology.hl7.org/CodeSystem-v3-ActReason.html
"""

from typing import Final

SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
EMERGENCIES: Final = frozenset(("ETREAT", "BTG", "ERTREAT"))

_ABOVE: Final = {
    **dict.fromkeys(("CLINTRL", "COC", "ETREAT", "POPHLTH", "TREATDS"), "TREAT"),
    **dict.fromkeys(("BTG", "ERTREAT"), "ETREAT"),
    **dict.fromkeys(("CLMATTCH", "COVAUTH", "COVERAGE", "REMITADV", "PMTDS"), "HPAYMT"),
    **dict.fromkeys(("ELIGDTRM", "ELIGVER", "ENROLLM", "MILDCRG"), "COVERAGE"),
    **dict.fromkeys(("BIORCH", "CLINTRCH", "DSRCH", "POARCH", "TRANSRCH"), "HRESCH"),
    **dict.fromkeys(("CLINTRCHNPC", "CLINTRCHPC", "PRECLINTRCH"), "CLINTRCH"),
    **dict.fromkeys(("FAMRQT", "PWATRNY", "SUPNWK"), "PATRQT"),
    **dict.fromkeys(("DISASTER", "THREAT"), "PUBHLTH"),
    **dict.fromkeys(
        (
            *("CAREMGT", "DONAT", "FRAUD", "GOV", "HACCRED", "HCOMPL", "HDECD", "HDIRECT", "HDM"),
            *("HLEGAL", "HOUTCOMS", "HPRGRP", "HQUALIMP", "HSYSADMIN", "MEMADMIN", "MILCDM"),
            *("PATADMIN", "PATSFTY", "PERFMSR", "RECORDMGT", "SYSDEV", "TRAIN", "MLTRAINING"),
        ),
        "HOPERAT",
    ),
    **dict.fromkeys(("LABELING", "METAMGT"), "HSYSADMIN"),
    "HTEST": "SYSDEV",
}


def with_broader(purpose: str) -> tuple[str, ...]:
    """Return the purpose and those that it is a kind of, as ETREAT is of TREAT."""
    found = [purpose]
    while found[-1] in _ABOVE:
        found.append(_ABOVE[found[-1]])
    return tuple(found)
