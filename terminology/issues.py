"""Issues of a terminology answer, with the refusal that carries them.

https://hl7.org/fhir/R4/operationoutcome.html
"""

from dataclasses import dataclass

from terminology.messages import TEXTS, text

NOT_FOUND = 404
BAD_REQUEST = 400
UNPROCESSABLE = 422


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue.

    `type` is a code of tx-issue-type or None, `message_id` the stable name of the text,
    `expression` the place in the request, such as `Coding.code`.
    """

    severity: str
    code: str
    type: str | None
    text: str
    message_id: str | None = None
    expression: str | None = None


class Refusal(Exception):
    """The operation has no answer: an HTTP status 4xx and its issues."""

    def __init__(self, status: int, *issues: Issue) -> None:
        super().__init__("; ".join(issue.text for issue in issues))
        self.status = status
        self.issues = issues


# severity, issue code and tx-issue-type of each message id, as HL7's validators expect them.
_SHAPES: dict[str, tuple[str, str, str | None]] = {
    "None_of_the_provided_codes_are_in_the_value_set_one": ("error", "code-invalid", "not-in-vs"),
    "TX_GENERAL_CC_ERROR_MESSAGE": ("error", "code-invalid", "not-in-vs"),
    "Unknown_Code_in_Version": ("error", "code-invalid", "invalid-code"),
    "UNKNOWN_CODE_IN_FRAGMENT": ("warning", "code-invalid", "invalid-code"),
    "UNKNOWN_CODESYSTEM": ("error", "not-found", "not-found"),
    "UNKNOWN_CODESYSTEM_VERSION": ("error", "not-found", "not-found"),
    "UNKNOWN_CODESYSTEM_VERSION_NONE": ("error", "not-found", "not-found"),
    "UNKNOWN_CODESYSTEM_EXP": ("error", "not-found", "not-found"),
    "UNKNOWN_CODESYSTEM_VERSION_EXP": ("error", "not-found", "not-found"),
    "UNKNOWN_CODESYSTEM_VERSION_EXP_NONE": ("error", "not-found", "not-found"),
    "Unable_to_resolve_value_Set_": ("error", "not-found", "not-found"),
    "VALUESET_SUPPLEMENT_MISSING": ("error", "not-found", "not-found"),
    "Display_Name_for__should_be_one_of__instead_of": ("error", "invalid", "invalid-display"),
    "Display_Name_WS_for__should_be_one_of__instead_of": ("error", "invalid", "invalid-display"),
    "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_OK": ("information", "invalid", "invalid-display"),
    "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_ERR": ("error", "invalid", "invalid-display"),
    "INACTIVE_DISPLAY_FOUND": ("warning", "invalid", "display-comment"),
    "STATUS_CODE_WARNING_CODE": ("error", "business-rule", "code-rule"),
    "ABSTRACT_CODE_NOT_ALLOWED": ("error", "business-rule", "code-rule"),
    "CODE_CASE_DIFFERENCE": ("information", "business-rule", "code-rule"),
    "INACTIVE_CONCEPT_FOUND": ("warning", "business-rule", "code-comment"),
    "DEPRECATED_CONCEPT_FOUND": ("warning", "business-rule", "code-comment"),
    "CONCEPT_DEPRECATED_IN_VALUESET": ("warning", "business-rule", "code-comment"),
    "CODESYSTEM_VERSION_NEEDED": ("error", "invalid", "invalid-data"),
    "MSG_DEPRECATED": ("information", "business-rule", "status-check"),
    "MSG_WITHDRAWN": ("information", "business-rule", "status-check"),
    "MSG_DRAFT": ("information", "business-rule", "status-check"),
    "MSG_EXPERIMENTAL": ("information", "business-rule", "status-check"),
    "VALUESET_VALUE_MISMATCH": ("error", "invalid", "vs-invalid"),
    "VALUESET_VALUE_MISMATCH_CHANGED": ("error", "invalid", "vs-invalid"),
    "VALUESET_VALUE_MISMATCH_DEFAULT": ("warning", "invalid", "vs-invalid"),
    "VALUESET_VERSION_CHECK": ("error", "exception", "version-error"),
    "SYSTEM_VERSION_MULTIPLE_OVERRIDE": ("error", "exception", "version-error"),
    "UNABLE_TO_HANDLE_SYSTEM_FILTER_WITH_NO_VALUE": ("error", "invalid", "vs-invalid"),
    "FILTER_NOT_UNDERSTOOD": ("error", "invalid", "vs-invalid"),
    "INVALID_ECL": ("error", "invalid", "vs-invalid"),
    "ECL_NOT_SUPPORTED": ("error", "not-supported", "vs-invalid"),
    "ECL_TOO_COSTLY": ("error", "too-costly", None),
    "VALUESET_CIRCULAR_REFERENCE": ("error", "processing", "vs-invalid"),
    "VALUESET_EXPANSION_PARTIAL": ("error", "processing", "vs-invalid"),
    "VALUESET_INCLUDE_WITHOUT_SYSTEM": ("error", "invalid", "vs-invalid"),
    "VALUESET_TOO_DEEP": ("error", "too-costly", None),
    "VALUESET_TOO_MANY_STEPS": ("error", "too-costly", None),
    "VALUESET_TOO_COSTLY": ("error", "too-costly", None),
    "UNABLE_TO_INFER_CODESYSTEM": ("error", "not-found", "cannot-infer"),
    "Unable_to_resolve_system__value_set_has_multiple_matches": (
        "error",
        "not-found",
        "cannot-infer",
    ),
    "Terminology_TX_System_ValueSet2": ("error", "invalid", "invalid-data"),
    "Terminology_TX_System_Relative": ("error", "invalid", "invalid-data"),
    "CODESYSTEM_CS_NO_SUPPLEMENT": ("error", "invalid", "invalid-data"),
    "Coding_has_no_system__cannot_validate": ("warning", "invalid", "invalid-data"),
    "INVALID_LANGUAGE": ("error", "processing", "invalid-display"),
}


def issue(message_id: str, expression: str | None = None, **values: object) -> Issue:
    """The issue of a message id at a place, its text filled with the values."""
    severity, code, kind = _SHAPES[message_id]
    return Issue(severity, code, kind, text(message_id, **values), message_id, expression)


def refusal(message_id: str, expression: str | None = None, **values: object) -> Refusal:
    """The refusal of a message id: 404 where something is unknown, else 422."""
    one = issue(message_id, expression, **values)
    return Refusal(NOT_FOUND if one.code == "not-found" else UNPROCESSABLE, one)


def bad_request(words: str, code: str = "invalid") -> Refusal:
    """A malformed request: 400 and one issue without a message id."""
    return Refusal(BAD_REQUEST, Issue("error", code, None, words))


def not_found(words: str) -> Refusal:
    """Something asked for is unknown: 404 and one issue without a message id."""
    return Refusal(NOT_FOUND, Issue("error", "not-found", "not-found", words))


assert set(_SHAPES) | {"NO_CODE_TO_VALIDATE"} == set(TEXTS)
