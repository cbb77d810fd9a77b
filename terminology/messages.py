"""Texts of the issues, by message id.

Where the public conformance suite compares a text literally, the text is that of the suite
(HL7 tx-ecosystem, CC0).

https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/
"""

TEXTS = {
    "None_of_the_provided_codes_are_in_the_value_set_one": (
        "The provided code '{code}' was not found in the value set '{value_set}'"
    ),
    "TX_GENERAL_CC_ERROR_MESSAGE": "No valid coding was found for the value set '{value_set}'",
    "Unknown_Code_in_Version": "Unknown code '{code}' in the CodeSystem '{system}'{version}",
    "UNKNOWN_CODE_IN_FRAGMENT": (
        "Unknown Code '{code}' in the CodeSystem '{system}'{version}"
        " - note that the code system is labeled as a fragment, so the code may be valid"
        " in some other fragment"
    ),
    "UNKNOWN_CODESYSTEM": (
        "A definition for CodeSystem '{system}' could not be found, so the code cannot be validated"
    ),
    "UNKNOWN_CODESYSTEM_VERSION": (
        "A definition for CodeSystem '{system}' version '{version}' could not be found,"
        " so the code cannot be validated. Valid versions: {versions}"
    ),
    "UNKNOWN_CODESYSTEM_VERSION_NONE": (
        "A definition for CodeSystem '{system}' version '{version}' could not be found,"
        " so the code cannot be validated. No versions of this code system are known"
    ),
    "UNKNOWN_CODESYSTEM_EXP": (
        "A definition for CodeSystem '{system}' could not be found,"
        " so the value set cannot be expanded"
    ),
    "UNKNOWN_CODESYSTEM_VERSION_EXP": (
        "A definition for CodeSystem '{system}' version '{version}' could not be found,"
        " so the value set cannot be expanded. Valid versions: {versions}"
    ),
    "UNKNOWN_CODESYSTEM_VERSION_EXP_NONE": (
        "A definition for CodeSystem '{system}' version '{version}' could not be found,"
        " so the value set cannot be expanded. No versions of this code system are known"
    ),
    "Unable_to_resolve_value_Set_": (
        "A definition for the value Set '{value_set}' could not be found"
    ),
    "VALUESET_SUPPLEMENT_MISSING": "Required supplement not found: {supplement}",
    "Display_Name_for__should_be_one_of__instead_of": (
        "Wrong Display Name '{display}' for {system}#{code}. Valid display is {choices}"
        " (for the language(s) '{languages}')"
    ),
    "Display_Name_WS_for__should_be_one_of__instead_of": (
        "Wrong whitespace in Display Name '{display}' for {system}#{code}. Valid display is"
        " {choices} (for the language(s) '{languages}')"
    ),
    "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_OK": (
        "There are no valid display names found for the code {system}#{code} for language(s)"
        " '{languages}'. The display is '{display}' which is a valid display for the default"
        " language"
    ),
    "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_ERR": (
        "Wrong Display Name '{display}' for {system}#{code}. There are no valid display names"
        " found for language(s) '{languages}'. Default display is '{default}'"
    ),
    "INACTIVE_DISPLAY_FOUND": (
        "'{display}' is no longer considered a correct display for code '{code}'"
        " (status = {status}). The correct display is one of {choices}."
    ),
    "STATUS_CODE_WARNING_CODE": "The concept '{code}' is valid but is not active",
    "ABSTRACT_CODE_NOT_ALLOWED": (
        "Code '{system}#{code}' is abstract, and not allowed in this context"
    ),
    "CODE_CASE_DIFFERENCE": (
        "The code '{code}' differs from the correct code '{correct}' by case. Although the code"
        " system '{system}' is case insensitive, implementers are strongly encouraged to use"
        " the correct case anyway"
    ),
    "INACTIVE_CONCEPT_FOUND": (
        "The concept '{code}' has a status of {status} and its use should be reviewed"
    ),
    "DEPRECATED_CONCEPT_FOUND": "The concept '{code}' is deprecated and its use should be reviewed",
    "CONCEPT_DEPRECATED_IN_VALUESET": (
        "The presence of the concept '{code}' in the system '{system}' in the value set"
        " {value_set} is marked with a status of deprecated and its use should be reviewed"
    ),
    "CODESYSTEM_VERSION_NEEDED": (
        "The code system '{system}' changes the meaning of its codes: a version is needed"
    ),
    "MSG_DEPRECATED": "Reference to deprecated item {item}",
    "MSG_WITHDRAWN": "Reference to withdrawn item {item}",
    "MSG_DRAFT": "Reference to draft item {item}",
    "MSG_EXPERIMENTAL": "Reference to experimental item {item}",
    "VALUESET_VALUE_MISMATCH": (
        "The code system '{system}' version '{version}' in the ValueSet include is different"
        " to the one in the value ('{given}')"
    ),
    "VALUESET_VALUE_MISMATCH_CHANGED": (
        "The code system '{system}' version '{version}' resulting from the version '{pin}'"
        " in the ValueSet include is different to the one in the value ('{given}')"
    ),
    "VALUESET_VALUE_MISMATCH_DEFAULT": (
        "The code system '{system}' version '{version}' for the versionless include in the"
        " ValueSet include is different to the one in the value ('{given}')"
    ),
    "VALUESET_VERSION_CHECK": (
        "The version '{version}' is not allowed for system '{system}': required to be"
        " '{required}' by a version-check parameter"
    ),
    "SYSTEM_VERSION_MULTIPLE_OVERRIDE": (
        "The system '{system}' is given several versions by one version parameter"
    ),
    "UNABLE_TO_HANDLE_SYSTEM_FILTER_WITH_NO_VALUE": (
        "The system {system} filter with property = {property}, op = {op} has no value"
    ),
    "FILTER_NOT_UNDERSTOOD": (
        "The system {system} cannot evaluate the filter with property = {property}, op = {op}:"
        " {reason}"
    ),
    "INVALID_ECL": "The expression constraint is invalid at character {position}: {reason}",
    "ECL_NOT_SUPPORTED": "Of expression constraints this is not supported: {feature}",
    "ECL_TOO_COSTLY": "The expression constraint is too costly: {reason}",
    "VALUESET_CIRCULAR_REFERENCE": ("The value set '{value_set}' includes itself through: {path}"),
    "VALUESET_EXPANSION_PARTIAL": (
        "The value set '{value_set}' is known by an expansion alone, which has not all of its codes"
    ),
    "VALUESET_INCLUDE_WITHOUT_SYSTEM": (
        "The value set '{value_set}' includes or excludes codes without naming their system"
    ),
    "VALUESET_TOO_DEEP": "The value set '{value_set}' imports value sets more than {limit} deep",
    "VALUESET_TOO_MANY_STEPS": (
        "The value set '{value_set}' cannot be evaluated within {limit} steps"
    ),
    "VALUESET_TOO_COSTLY": (
        "The value set '{value_set}' has more than {limit} codes: ask for a page of it"
    ),
    "UNABLE_TO_INFER_CODESYSTEM": (
        "The System URI could not be determined for the code '{code}' in the ValueSet"
        " '{value_set}': none of its code systems has it: {systems}"
    ),
    "Unable_to_resolve_system__value_set_has_multiple_matches": (
        "The System URI could not be determined for the code '{code}' in the ValueSet"
        " '{value_set}': value set expansion has multiple matches: {systems}"
    ),
    "Terminology_TX_System_ValueSet2": (
        "The Coding references a value set, not a code system ('{system}')"
    ),
    "Terminology_TX_System_Relative": (
        "Coding.system must be an absolute reference, not a local reference"
    ),
    "CODESYSTEM_CS_NO_SUPPLEMENT": (
        "CodeSystem {system} is a supplement, so can't be used as a value in Coding.system"
    ),
    "Coding_has_no_system__cannot_validate": (
        "Coding has no system. A code with no system has no defined meaning, and it cannot be"
        " validated. A system should be provided"
    ),
    "NO_CODE_TO_VALIDATE": (
        "Unable to find code to validate (looked for coding | codeableConcept | code+system |"
        " code+inferSystem in parameters"
    ),
    "INVALID_LANGUAGE": "The displayLanguage is not a list of language ranges",
}


def text(message_id: str, **values: object) -> str:
    """The text of a message id with its values filled in; KeyError for an unknown id."""
    return TEXTS[message_id].format(**values)


def alternatives(values: list[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join([", ".join(values[:-1]), values[-1]] if len(values) > 1 else values)
