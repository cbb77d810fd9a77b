"""Cases whose recorded outcome is not ours, each with the reason; an addition needs a review."""

_NO_CONTENT = "It rests on codes of {} that come with no licence to be here"
_NO_TARGET = "The target that breaks the profile does not come with the suite"
_DEPENDENCY = "Which version of a value set a package's dependency pins is not followed"
_OTHER_VERSION = "Extensions that stand for elements of other FHIR versions have no definition here"
_VITAL_UNITS = "R4's own profile of vital signs requires units of components; the record only warns"

REVIEWED = {
    "patient-translated-codes": "Displays are judged in all languages, not in that of the request",
    "patient-xver-bad": _OTHER_VERSION,
    "patient-xver-gino": _OTHER_VERSION,
    "patient-xver-bad-gino": _OTHER_VERSION,
    "patient-circle1-bad-linked1": _NO_TARGET,
    "patient-circle1-bad-source1": _NO_TARGET,
    "patient-circle2-bad-source1": _NO_TARGET,
    "type-ref-unchecked": "The type that a reference names is judged always, there on request",
    "mr-m-cql-library": "CQL is not read",
    "patient-ig-bad": "ImplementationGuide.global names its profile",
    "parameters-reference-bad": "That targets exist is judged at write, against the store",
    "cvx": _NO_CONTENT.format("CVX"),
    "bundle-id-5": _NO_CONTENT.format("CVX"),
    "ips-nz-pj": _NO_CONTENT.format("LOINC"),
    "contained-resource-bad-id-ignore": "Contained resources are judged always, there on request",
    "patient-id-only": "An element with an id alone is let through (ele-1)",
    "res-inv-example-bad": "Its extensions are defined in a later package of extensions",
    "extension-version-restriction-range-r4": "Its extension is defined for R5 in an R5 file",
    "ext-derived-circle": "The record is of another file",
    "obs-vital-signs-mdc": _VITAL_UNITS,
    "obs-percent": _VITAL_UNITS,
    "package-versioning-wrapped-0.1.0-bad": _DEPENDENCY,
    "package-versioning-wrapped-0.2.0-bad": _DEPENDENCY,
    "package-versioning-wrapped2-0.1.0-bad": _DEPENDENCY,
    "package-versioning-wrapped2-0.2.0-bad": _DEPENDENCY,
    "binary-ref-internal": "Only the narrative refers to what it contains, which dom-3 passes over",
    "dr-xml-space": "xml:space is none of the attributes that R4 allows in a narrative",
    "patient-min-length": "The profile's file has elements out of order, so it is not read",
    "vs-filter-property-bad": "Values of filters are not looked up as codes",
    "vs-filter-property-bad2": "Values of filters are not looked up as codes",
    "vs-params-2": "Parameters of expansions in extensions are not judged",
    "choice-async-qr": _NO_CONTENT.format("ISO 3166"),
    "string-with-coding-async-qr": _NO_CONTENT.format("ISO 3166"),
    "xhtml-ctrl-source1": "Where parts of a narrative come from is not judged",
    "signatures-example-2": "Signatures are not verified",
    "aggregation-apart-good4": "The record is of R5, in which Encounter.class may be absent",
}
