"""The forms of language tags and of media types.

https://www.rfc-editor.org/rfc/rfc5646#section-2.1
https://www.rfc-editor.org/rfc/rfc6838#section-4.2
"""

import re

TAG = re.compile(
    r"(?P<language>[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4}|[a-z]{5,8})"
    r"(?:-(?P<script>[a-z]{4}))?"
    r"(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variant>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
    r"(?P<extension>(?:-[a-wyz0-9](?:-[a-z0-9]{2,8})+)*)"
    r"(?P<private>-x(?:-[a-z0-9]{1,8})+)?",
    re.IGNORECASE,
)
PRIVATE_TAG = re.compile(r"x(?:-[a-z0-9]{1,8})+", re.IGNORECASE)
# https://www.rfc-editor.org/rfc/rfc5646#section-2.2.8
GRANDFATHERED = {
    tag.lower(): tag
    for tag in (
        *("en-GB-oed", "i-ami", "i-bnn", "i-default", "i-enochian", "i-hak", "i-klingon", "i-lux"),
        *("i-mingo", "i-navajo", "i-pwn", "i-tao", "i-tay", "i-tsu", "sgn-BE-FR", "sgn-BE-NL"),
        *("sgn-CH-DE", "art-lojban", "cel-gaulish", "no-bok", "no-nyn", "zh-guoyu", "zh-hakka"),
        *("zh-min", "zh-min-nan", "zh-xiang"),
    )
}

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&\-^_.+]{0,126}"
_VALUE = r"(?:[A-Za-z0-9!#$%&'*+\-.^_`|~]+|\"[^\"\\]*\")"
_MEDIA_TYPE = re.compile(rf"{_NAME}/{_NAME}(?:\s*;\s*{_NAME}={_VALUE})*")


def is_tag(text: str) -> bool:
    """Return whether a text has the form of a language tag, or is one of those of old."""
    known = text.lower() in GRANDFATHERED or PRIVATE_TAG.fullmatch(text) or TAG.fullmatch(text)
    return bool(known)


def is_media_type(text: str) -> bool:
    """Return whether a text is a media type, with parameters or without."""
    return _MEDIA_TYPE.fullmatch(text) is not None
