"""Dialects of SNOMED CT: language reference sets, and the tags of BCP 47 that ask for them.

https://docs.snomed.org/implementation-guides/fhir-implementation-guide
"""

from collections.abc import Iterator, Mapping

# Language reference sets by the alias of their dialect (ECL, appendix C).
ALIASES = {
    "en-us": "900000000000509007",
    "en-gb": "900000000000508004",
    "en-au": "32570271000036106",
    "en-ie": "21000220103",
    "en-nz": "271000210107",
    "en-nhs-clinical": "999001261000000100",
    "en-nhs-dmd": "999000671000001103",
    "en-nhs-pharmacy": "999000691000001104",
    "en-uk-drug": "999000681000001101",
    "en-uk-ext": "999001251000000103",
    "da": "554461000005103",
    "nl": "31000146106",
    "nl-be": "31000172101",
    "fr-be": "21000172104",
    "es": "448879004",
    "sv": "46011000052107",
    "nb": "61000202103",
    "nn": "91000202106",
    "et-ee": "71000181105",
    "de": "722130004",
    "fr": "722131000",
    "ja": "722129009",
    "zh": "722128001",
}
_REGIONAL = {code: alias for alias, code in ALIASES.items() if len(alias) == len("en-us")}
_GROUP = 8


def dialects(language: str | None, said: Mapping[str, str]) -> tuple[tuple[str, bool], ...]:
    """The tags by which a description is found in language refsets, and whether it is preferred.

    `said` is `preferred` or `acceptable` by refset. 900000000000508004 of English is
    `en-x-sctlang-90000000-00005080-04` and `en-gb`.
    """
    return tuple(
        (tag, how == "preferred")
        for refset, how in said.items()
        for tag in _tags(language or "und", refset)
    )


def _tags(language: str, refset: str) -> Iterator[str]:
    groups = [refset[at : at + _GROUP] for at in range(0, len(refset), _GROUP)]
    yield "-".join([language, "x-sctlang", *groups])
    if refset in _REGIONAL:
        yield _REGIONAL[refset]
