"""Which codes are in which value sets, as the terminology library says, kept for a while.

Judging goes on in one piece and asks what is known already (`known`); what it could not
be told is found out between two pieces (`find`).

https://hl7.org/fhir/R4/terminologies.html#binding
"""

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final, NamedTuple

from terminology.issues import Refusal
from terminology.library import Library
from terminology.membership import is_member
from terminology.once import Once
from terminology.recent import Recent
from terminology.scope import Scope, find_value_set
from terminology.value_set import Include, ValueSet

MAX_TABLE: Final = 20_000
"""Codes of a value set that is kept whole."""
_MAX_TABLES: Final = 500
_MAX_ANSWERS: Final = 50_000
_SECONDS: Final = 60.0
_PATIENCE: Final = 10.0

_Table = frozenset[tuple[str, str]]


class Question(NamedTuple):
    """Whether a code is in a value set, by canonical; without a system in any of its systems."""

    value_set: str
    system: str
    code: str


class Memberships:
    """Answers of a library, forgotten after a minute, so that a changed value set counts.

    A value set that lists its codes is kept whole; of others each answer by itself.
    """

    __slots__ = ("_answers", "_clock", "_library", "_tables")

    def __init__(self, library: Library, clock: Callable[[], float] = monotonic) -> None:
        self._library = library
        self._clock = clock
        self._tables: Recent[str, tuple[float, _Table]] = Recent(_MAX_TABLES)
        self._answers: Recent[Question, tuple[float, bool | None]] = Recent(_MAX_ANSWERS)

    def known(self, question: Question) -> tuple[bool, bool | None]:
        """Return whether the answer is known, and the answer; None where nobody can tell."""
        now = self._clock()
        table = self._tables.get(question.value_set)
        if table is not None and table[0] > now:
            return True, _in_table(table[1], question)
        answer = self._answers.get(question)
        if answer is not None and answer[0] > now:
            return True, answer[1]
        return False, None

    async def find(self, questions: Iterable[Question]) -> None:
        """Ask the library for all answers that are not known.

        What it cannot tell within some seconds, all questions together, nobody can tell.
        """
        library, left = Once(self._library), list(dict.fromkeys(questions))[::-1]
        try:
            async with asyncio.timeout(_PATIENCE):
                while left:
                    await self._answer(library, left[-1])
                    left.pop()
        except TimeoutError:
            for question in left:
                if not self.known(question)[0]:
                    self._keep(question, None)

    async def _answer(self, library: Library, question: Question) -> None:
        if self.known(question)[0]:
            return
        try:
            await self._find(library, question)
        except Refusal:
            self._keep(question, None)

    async def _find(self, library: Library, question: Question) -> None:
        scope = Scope(library)
        value_set = await find_value_set(scope, question.value_set)
        if value_set is None:
            self._keep(question, None)
            return
        until = self._clock() + _SECONDS
        table = _listed(value_set)
        if table is not None:
            self._tables.put(question.value_set, (until, table))
            return
        systems = [question.system] if question.system else _systems(value_set)
        answers = [await is_member(scope, question.value_set, s, question.code) for s in systems]
        self._keep(question, True if True in answers else None if None in answers else False)

    def _keep(self, question: Question, answer: bool | None) -> None:  # noqa: FBT001  (a value)
        until = self._clock() + _SECONDS
        self._answers.put(question, (until, answer))


def _in_table(table: _Table, question: Question) -> bool:
    if question.system:
        return (question.system, question.code) in table
    return any(code == question.code for _, code in table)


def _listed(value_set: ValueSet) -> _Table | None:
    """Return the codes of a value set that lists them all, None of any other."""
    if value_set.partial or value_set.excludes or not all(map(_is_list, value_set.includes)):
        return None
    if sum(len(one.concepts) for one in value_set.includes) > MAX_TABLE:
        return None
    return frozenset(
        (include.system or "", concept.code)
        for include in value_set.includes
        for concept in include.concepts
    )


def _is_list(include: Include) -> bool:
    return bool(include.system and include.concepts) and not (include.filters or include.value_sets)


def _systems(value_set: ValueSet) -> list[str]:
    return list(dict.fromkeys(one.system for one in value_set.includes if one.system))
