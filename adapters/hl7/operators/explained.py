"""An explanation on a terminal: a table for each segment."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from adapters.hl7.explain import words
from adapters.hl7.explain.explanation import REFUSED, Explanation, Line, Target
from adapters.hl7.explain.rules import DECISIONS
from adapters.hl7.explain.views import decisions
from adapters.hl7.message.accounting import CONTROL

_WIDE: Final = 110
_POSITION: Final = 9
_HIDDEN: Final = "•"


def show(
    console: Console, found: Explanation, *, values: bool = True, only: Sequence[str] = ()
) -> None:
    """Print an explanation; `only` are `mapped` and reasons of which leaves are shown."""
    _head(console, found)
    for _, group in groupby(found.lines, key=lambda line: line.segment):
        lines = [one for one in group if not only or (_state(one) in only)]
        if lines:
            _segment(console, lines, values=values)
    if not only:
        _written(console, found, values=values)
    _remarks(console, found, values=values)


def _state(line: Line) -> str:
    return "mapped" if line.targets else line.reason


def _head(console: Console, found: Explanation) -> None:
    profile = "" if found.profile == "none" else f", profile {found.profile}"
    console.print(Text(f"{found.type} of {found.sender}{profile}", style="bold"), soft_wrap=True)
    total = sum(found.counts.values())
    mapped = found.counts.get("mapped", 0)
    others = sorted((r, n) for r, n in found.counts.items() if r != "mapped")
    listed = "".join(f" · {count} {reason}" for reason, count in others)
    console.print(Text(f"{mapped} of {total} leaves are in FHIR{listed}", style="cyan"))
    if found.refusal:
        reason, text = found.refusal
        console.print(Text(f"It cannot be applied: {reason}. {text}", style="bold red"))
        console.print(Text(words.WHAT_TO_DO[reason], style="red"))


def _segment(console: Console, lines: Sequence[Line], *, values: bool) -> None:
    main = _main(lines)
    console.print()
    title = Text(lines[0].segment, style="bold")
    if main is not None:
        label = main.label if values and main.label else ""
        title.append(f" → {main.resource}", style="bold green")
        title.append(f" {label}", style="green")
    console.print(title, overflow="ellipsis", no_wrap=True)
    wide = console.width >= _WIDE
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=_POSITION, no_wrap=True)
    table.add_column(ratio=3 if wide else 2, no_wrap=True, overflow="ellipsis", style="bold")
    table.add_column(ratio=6 if wide else 5, overflow="fold")
    table.add_column(width=26 if wide else 4, no_wrap=True, overflow="ellipsis", style="dim")
    for line in lines:
        value = Text(line.value.replace("\n", " ") if values else _HIDDEN)
        rules = "\n".join(_rule(one, wide=wide) for one in line.targets)
        table.add_row(f"  {line.position}", value, _where(line, main), rules)
    console.print(table)


def _main(lines: Iterable[Line]) -> Target | None:
    """Return a target in the resource to which most of the segment went."""
    found = [one for line in lines for one in line.targets if one.exact]
    if not found:
        return None
    name, _ = Counter(one.resource for one in found).most_common(1)[0]
    return next(one for one in found if one.resource == name)


def _where(line: Line, main: Target | None) -> Text:
    if not line.targets:
        style = "dim" if line.reason == CONTROL else "yellow"
        return Text(words.REASON_TEXTS.get(line.reason, line.reason), style=style)
    return Text("\n").join(_path(one, main) for one in line.targets)


def _path(target: Target, main: Target | None) -> Text:
    inner = target.path.partition(".")[2] or target.path
    found = Text()
    if main is None or target.resource != main.resource:
        found.append(f"{target.resource} ", style="green")
    found.append(inner, style="" if target.exact else "yellow")
    if target.extension and "extension" in inner:
        found.append(f" ({target.extension})", style="dim")
    return found


def _rule(target: Target, *, wide: bool) -> str:
    if not wide:
        return target.decision
    guide = target.map or target.rule
    return " ".join(filter(None, (guide, target.decision)))


def _written(console: Console, found: Explanation, *, values: bool) -> None:
    if not found.made:
        return
    console.print()
    console.print(Text("Would be written", style="bold"))
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(ratio=2, no_wrap=True, overflow="ellipsis", style="green")
    table.add_column(ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column(width=18, no_wrap=True, style="dim")
    for one in found.made:
        how = "create or update" if one.method == "PUT" else "create if missing"
        table.add_row(f"  {one.name}", Text(one.label if values else ""), how)
    console.print(table)


def _remarks(console: Console, found: Explanation, *, values: bool) -> None:
    parts = [
        ("Warnings", [f"{text} ({count})" for text, count in found.warnings.items()]),
        ("Without translation", list(found.untranslated) if values else []),
        ("Decisions", [f"{one}  {DECISIONS[one]}" for one in decisions(found)]),
    ]
    for title, texts in parts:
        if texts:
            console.print()
            console.print(Text(title, style="bold"))
            for text in texts:
                console.print(Text(f"  {text}"))


def statistics(console: Console, some: Iterable[Explanation]) -> None:
    """Print by field how many leaves were mapped, and why others were not."""
    fields: dict[str, Counter[str]] = defaultdict(Counter)
    messages = 0
    for found in some:
        messages += 1
        for line in found.lines:
            name = line.segment.partition("[")[0]
            number = line.address.partition("-")[2].partition("[")[0]
            fields[f"{name}-{number}"][_state(line)] += 1
    table = Table("field", "leaves", "in FHIR", "why not the others", box=None)
    for name, counts in fields.items():
        listed = ", ".join(
            f"{count} {reason}" for reason, count in sorted(counts.items()) if reason != "mapped"
        )
        mapped = str(counts["mapped"]) if counts["mapped"] else ""
        table.add_row(name, str(counts.total()), mapped, escape(listed))
    console.print(f"{messages} messages")
    console.print(table)


ONLY: Final = ("mapped", "unmapped", *words.REASON_TEXTS, REFUSED)
"""What `only` can be told; `unmapped` is all but what is mapped."""


def states(only: Sequence[str]) -> tuple[str, ...]:
    """Return the states of leaves that are asked for, () for all of them."""
    if "unmapped" in only:
        return (*(one for one in only if one != "unmapped"), *words.REASON_TEXTS, REFUSED)
    return tuple(only)
