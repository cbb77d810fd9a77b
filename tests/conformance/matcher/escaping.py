"""Separators and escapes of search values (specification 4.1)."""


def split(text: str, separator: str) -> list[str]:
    """Return the parts between separators that no backslash precedes, still escaped."""
    parts, place = [""], 0
    while place < len(text):
        if text[place] == "\\":
            parts[-1] += text[place : place + 2]
            place += 2
            continue
        if text[place] == separator:
            parts.append("")
        else:
            parts[-1] += text[place]
        place += 1
    return parts


def unescape(text: str) -> str:
    """Return the text with each escaped character as itself."""
    found, place = "", 0
    while place < len(text):
        place += text[place] == "\\"
        found += text[place]
        place += 1
    return found


def escape(text: str) -> str:
    """Return a value so that it is read back as it is."""
    return "".join(f"\\{c}" if c in ",$|\\" else c for c in text)
