"""Text in the letters of a character set that cannot carry its own.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.12.1.1.2
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from anyascii import anyascii

from adapters.dicom.dataset.charset import encode
from adapters.dicom.dataset.identifier import Key

_TEXT = frozenset(("SH", "LO", "ST", "LT", "PN", "UC", "UT"))
_GROUPS = 3


def _table(letters: str, latin: str) -> dict[str, str]:
    return dict(zip(letters, latin.split(), strict=True))


# Devanagari, after the Hunterian system without its marks.
_CONSONANTS = {
    **_table("कखगघङचछजझञ", "k kh g gh n ch chh j jh n"),
    **_table("टठडढणतथदधन", "t th d dh n t th d dh n"),
    **_table("पफबभमयरलळव", "p ph b bh m y r l l v"),
    **_table("शषसह", "sh sh s h"),
}
_NUKTA = _table("कखगजडढफय", "q kh g z r rh f y")
_VOWELS = _table("अआइईउऊऋएऐओऔऑऍ", "a a i i u u ri e ai o au o e")
_SIGNS = _table("ािीुूृेैोौॉॅ", "a i i u u ri e ai o au o e")
_MARKS = _table("\u0902\u0901\u0903\u0950", "n n h om")
_VIRAMA, _DOT = "्", "़"
_CONJUNCTS = {"ज्ञ": "gy"}


def fitted(keys: Iterable[Key], terms: Sequence[str]) -> Iterator[Key]:
    """Yield the elements with all text in the letters of these character sets."""
    for key in keys:
        values = tuple(_value(value, key.vr, terms) for value in key.values)
        yield replace(key, values=values)


def _value(value: object, vr: str, terms: Sequence[str]) -> object:
    if isinstance(value, Mapping):
        return dict(zip(value, fitted(value.values(), terms), strict=True))
    if vr not in _TEXT or not isinstance(value, str):
        return value
    return name_in(value, terms) if vr == "PN" else text_in(value, terms)


def text_in(text: str, terms: Sequence[str]) -> str:
    """Return text that the character sets of `terms` can carry, ASCII without any.

    What they have stays; else letters lose their accents or become Latin ones.
    """
    if encode(text, terms) is not None:
        return text
    words = "".join(_word(word, terms) for word in _runs(text))
    return "".join(one for one in words if encode(one, terms) is not None)


def name_in(name: str, terms: Sequence[str]) -> str:
    """Return a person name that the character sets of `terms` can carry.

    Groups of other letters fall away, since they only repeat the first; that is made of
    them where it is empty, of the phonetic group if there is one.
    """
    groups = (name.split("=") + [""] * _GROUPS)[:_GROUPS]
    alphabetic, ideographic, phonetic = groups
    kept = [one if encode(one, terms) is not None else "" for one in (ideographic, phonetic)]
    if not alphabetic.strip(" ^") and kept != [ideographic, phonetic]:
        alphabetic = (text_in(phonetic or ideographic, terms)).title()
    first = "^".join(text_in(part, terms) for part in alphabetic.split("^"))
    return "=".join((first, *kept)).rstrip("=")


def _runs(text: str) -> Iterator[str]:
    """Yield runs of Devanagari, and all else letter by letter."""
    run = ""
    for character in unicodedata.normalize("NFC", text):
        if "\u0900" <= character <= "\u097f":
            run += character
            continue
        if run:
            yield run
            run = ""
        yield character
    if run:
        yield run


def _word(word: str, terms: Sequence[str]) -> str:
    if encode(word, terms) is not None:
        return word
    if "\u0900" <= word[0] <= "\u097f":
        return devanagari(word).capitalize()
    plain = "".join(
        one for one in unicodedata.normalize("NFKD", word) if not unicodedata.combining(one)
    )
    return plain if plain and encode(plain, terms) is not None else _latin(word)


def devanagari(word: str) -> str:
    """Return a word of Devanagari in Latin letters.

    A consonant without a sign has the vowel a, which is not spoken at the end of a word.
    """
    text = unicodedata.normalize("NFD", word)
    for conjunct, latin in _CONJUNCTS.items():
        text = text.replace(conjunct, latin)
    made: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character not in _CONSONANTS:
            made.append(_VOWELS.get(character) or _MARKS.get(character) or _other(character))
            continue
        dotted = text[at : at + 1] == _DOT
        at += dotted
        made.append((_NUKTA.get(character) if dotted else None) or _CONSONANTS[character])
        following = text[at : at + 1]
        if following in _SIGNS:
            made.append(_SIGNS[following])
            at += 1
        elif following == _VIRAMA:
            at += 1
        elif following:
            made.append("a")
    return "".join(made)


def _other(character: str) -> str:
    return character if character.isascii() else _latin(character)


def _latin(character: str) -> str:
    """Return a letter in ASCII; one like a question mark would look like a missing letter."""
    found = str(anyascii(character))
    return found.replace("?", "") if unicodedata.category(character[:1])[:1] in "LM" else found
