"""What a modality does in an examination, one step after the other.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#chapter_K
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from adapters.dicom.dataset.attributes import Attributes, text
from adapters.dicom.dataset.identifier import Key, tag_of
from adapters.dicom.dataset.levels import Level
from adapters.dicom.mpps.content import by_keyword
from adapters.dicom.network import classes
from adapters.dicom.network.command import Element
from adapters.dicom.network.scu import Instance, Sender
from adapters.dicom.network.wire import TimedOut
from adapters.dicom.query import requester
from adapters.dicom.simulation import asking, step
from adapters.dicom.simulation.asking import Pair, Reports
from adapters.dicom.simulation.exam import Exam, of_entry, unscheduled
from adapters.dicom.simulation.objects import instances
from adapters.dicom.simulation.reports import listening
from adapters.dicom.simulation.step import element, keyed

PARTS: Final = ("worklist", "mpps", "store", "commit", "retrieve")
"""The steps of an examination, in their order."""

Call = Callable[
    [Sequence[Pair], Mapping[str, tuple[str, ...]] | None], AbstractContextManager[Sender]
]
"""Opens an association with the archive for these contexts, and for classes that it sends."""

_ENTRY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyInstanceUID",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
)
_ENTRY_STEP = (
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "ScheduledProcedureStepDescription",
    "ScheduledProcedureStepID",
    "ScheduledProcedureStepStatus",
)


@dataclass(frozen=True, slots=True)
class Script:
    """How an examination is played: which parts, over how many associations.

    `ae_title` is ours; `listen` the port for reports (0: any; None: only the association on
    which it was asked); `accession` the worklist entry to take, "" the first.
    """

    ae_title: str
    parts: frozenset[str] = frozenset(PARTS)
    associations: int = 1
    listen: int | None = None
    accession: str = ""
    report_seconds: float = 30.0


@dataclass(slots=True)
class Course:
    """What came of an examination: a line for each thing that happened, and what failed."""

    exam: Exam
    tell: Callable[[str], None]
    failures: list[str] = field(default_factory=list)

    def expect(self, good: bool, line: str) -> None:  # noqa: FBT001  (the one thing it asks)
        """Tell a line, and note it where it is not good."""
        self.tell(line if good else f"FAILED {line}")
        if not good:
            self.failures.append(line)


def play(exam: Exam, script: Script, call: Call, tell: Callable[[str], None]) -> Course:
    """Play an examination and return its course."""
    course = Course(exam, tell)
    reports = Reports()
    waiting = script.listen is not None and "commit" in script.parts
    port = script.listen or 0
    with listening(script.ae_title, port, reports) if waiting else nullcontext(0) as heard_at:
        if heard_at:
            tell(f"listening for reports on port {heard_at}")
        course.exam = _chosen(course, script, call)
        made = list(instances(course.exam))
        with_step = "mpps" in script.parts
        if with_step:
            status = _stepped(call, asking.create, course.exam, step.begun(course.exam))
            course.expect(status == 0, f"step {course.exam.step_uid} begun: {status:04X}")
        if "store" in script.parts:
            _store(course, script, call, made)
        if with_step:
            ended = step.ended(course.exam, made, datetime.now().astimezone())
            status = _stepped(call, asking.change, course.exam, ended)
            course.expect(status == 0, f"step completed: {status:04X}")
        if "commit" in script.parts:
            _commit(course, script, call, made, reports)
        if "retrieve" in script.parts:
            _retrieve(course, call, made)
    return course


def entries(sender: Sender, script: Script, modality: str) -> Iterator[Attributes]:
    """Yield the worklist entries of a modality (C-FIND), those of `script.accession` alone."""
    scheduled = [element(name) for name in _ENTRY_STEP]
    scheduled.append(element("Modality", modality))
    scheduled.append(element("ScheduledStationAETitle"))
    keys = [element(name, script.accession if name == "AccessionNumber" else "") for name in _ENTRY]
    keys.append(Key(tag_of("ScheduledProcedureStepSequence"), "SQ", (keyed(scheduled),)))
    for status, found in requester.find(sender, classes.WORKLIST_FIND, keys):
        if status in requester.PENDING:
            yield by_keyword(found)


def _chosen(course: Course, script: Script, call: Call) -> Exam:
    """Return the examination of the first worklist entry, an unscheduled one without any."""
    exam = course.exam
    if "worklist" not in script.parts:
        return unscheduled(exam)
    modality = "CT" if exam.modality == "SR" else exam.modality
    with call(asking.contexts(classes.WORKLIST_FIND), None) as sender:
        found = list(entries(sender, script, modality))
    if not found:
        course.expect(not script.accession, f"worklist: no {modality} entry; unscheduled")
        return unscheduled(exam)
    number = text(found[0], "AccessionNumber") or "without accession number"
    course.tell(f"worklist: {len(found)} {modality} entries; took {number}")
    return of_entry(exam, found[0])


def _stepped(
    call: Call, act: Callable[[Sender, str, Sequence[Key]], int], exam: Exam, keys: Sequence[Key]
) -> int:
    with call(asking.contexts(classes.MPPS), None) as sender:
        return act(sender, exam.step_uid, keys)


def _store(course: Course, script: Script, call: Call, made: Sequence[Instance]) -> None:
    """Store all instances over several associations at once."""
    began = time.monotonic()
    shares = [made[n :: script.associations] for n in range(script.associations)]
    with ThreadPoolExecutor(script.associations) as threads:
        statuses = [s for some in threads.map(lambda one: _sent(call, one), shares) for s in some]
    seconds = max(time.monotonic() - began, 1e-6)
    good = sum(status == 0 for status in statuses)
    line = f"{good} of {len(made)} instances stored in {seconds:.2f} s ({good / seconds:.0f}/s)"
    course.expect(good == len(made), line)


def _sent(call: Call, some: Sequence[Instance]) -> list[int]:
    if not some:
        return []
    pairs = list(dict.fromkeys((one.sop_class_uid, one.transfer_syntax_uid) for one in some))
    with call(pairs, None) as sender:
        return [sender.store(one) for one in some]


def _commit(
    course: Course, script: Script, call: Call, made: Sequence[Instance], reports: Reports
) -> None:
    """Ask for commitment, and wait for the report on this association or on the port."""
    references = [(one.sop_class_uid, one.sop_instance_uid) for one in made]
    with call(asking.contexts(classes.COMMITMENT), None) as sender:
        status = asking.request_commitment(
            sender, course.exam.uid("commitment", time.time_ns()), references
        )
        if status:
            course.expect(False, f"commitment: {status:04X}")
            return
        if script.listen is None:
            _heard_here(sender, reports)
    reports.came.wait(script.report_seconds if script.listen is not None else 0)
    line = f"commitment: {reports.committed} committed, {len(reports.failed)} failed"
    good = reports.complete and reports.committed == len(made)
    course.expect(good, line if reports.came.is_set() else "commitment: no report has come")


def _heard_here(sender: Sender, reports: Reports) -> None:
    try:
        asking.report(sender, reports)
    except TimedOut:
        return


def _retrieve(course: Course, call: Call, made: Sequence[Instance]) -> None:
    """Find the study (C-FIND), and take it back (C-GET)."""
    exam = course.exam
    wanted = [f"StudyInstanceUID={exam.study_instance_uid}"]
    finding, getting = requester.ROOTS["study"][0], requester.ROOTS["study"][2]
    counted = "NumberOfStudyRelatedInstances"
    with call(requester.contexts(finding), None) as sender:
        keys = requester.identifier(Level.STUDY, [*wanted, counted])
        answers = [by_keyword(k) for s, k in requester.find(sender, finding, keys) if s]
    known = int(answers[0].get(counted, [0])[0]) if answers else 0
    course.expect(known >= len(made), f"found {len(answers)} study with {known} instances")
    providing = {one.sop_class_uid: (one.transfer_syntax_uid,) for one in made}
    series = [*wanted, f"SeriesInstanceUID={exam.series_instance_uid}"]
    keys = requester.identifier(Level.SERIES, series)
    with (
        tempfile.TemporaryDirectory() as directory,
        call(requester.contexts(getting), providing) as sender,
    ):
        last: Any = list(requester.get(sender, getting, keys, Path(directory)))[-1]
        done = last.number(Element.NumberOfCompletedSuboperations) or 0
    course.expect(done == len(made), f"{done} instances retrieved")
