"""HL7's validator cases for R4: valid or invalid as the recorded validator found."""

from pathlib import Path

from validator.cases import ERRORS, Case, cases
from validator.judge import Judge
from validator.reviewed import REVIEWED

SUITE = "data/fhir-test-cases/validator"
FLOOR = 333


async def agrees(judge: Judge, case: Case) -> bool:
    for judgement in case.judgements:
        issues = await judge.issues(case, judgement)
        if judgement.valid != (not any(issue.severity in ERRORS for issue in issues)):
            return False
    return True


async def test_validity_is_that_of_the_record(shared: Path) -> None:
    folder = shared / SUITE
    known = cases(folder)
    packaged = [case for case in known if case.needs_package]
    judged = [
        case
        for case in known
        if not case.needs_package and case.judgements and (folder / case.file).exists()
    ]
    judge = Judge(folder)
    other = [case.name for case in judged if not await agrees(judge, case)]
    agreed = len(judged) - len(other)
    apart = len(known) - len(packaged) - len(judged)
    print(f"\nvalidator: {agreed} of {len(judged)} as recorded")  # noqa: T201  (the count that ran)
    print(f"{len(packaged)} need a package, {apart} have no record or no file")  # noqa: T201
    assert len(known) == 426
    assert sorted(other) == sorted(REVIEWED)
    assert agreed >= FLOOR
    assert agreed / len(judged) >= 0.9
