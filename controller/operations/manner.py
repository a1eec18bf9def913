"""An answer in the manner of a persona: something beside it, or above it, and every word of it as it was (I29)."""

from __future__ import annotations

from controller.operations.comment_reads import ReadDesk, stored_review
from controller.review.command_answer import VerbKind, told_answer
from controller.review.report import Review, cost_text, counts_of, counts_text
from controller.review.told import Told
from controller.runtime.command import VERBS, Command
from controller.runtime.records import IprRecord
from controller.tools import telling
from controller.tools.authoring import lacking
from controller.tools.persona import Adds, in_short, persona_of
from controller.tools.troubles import examined

_SAYS_IT_ITSELF = {Adds.DESIGN: "suggest", Adds.FAILURE: "troubleshoot"}


async def in_manner(body: str, command: Command, record: IprRecord, reads: ReadDesk) -> str:
    """`body`, an answer without its marker, as the persona of its verb gives it, or as the one that `as` named."""
    persona = persona_of(command.verb, command.persona)
    kind = VERBS[command.verb].kind
    if persona is None or kind is VerbKind.BRANCH:
        return body  # the review that is stored is not yet that of the commit
    if persona.adds is Adds.FACTS:
        review = await stored_review(reads.about, record)
        return in_short(body, _facts(command, record, review), is_short=persona.is_short)
    if kind is not VerbKind.READ or command.verb == _SAYS_IT_ITSELF[persona.adds]:
        return body
    if persona.adds is Adds.DESIGN:
        return f"{body}\n\n{await _design(record, reads)}"
    return f"{await _failure(record, reads)}\n\n{body}"


def _facts(command: Command, record: IprRecord, review: Review | None) -> dict[str, str | int]:
    known: dict[str, str | int] = {"verb": command.verb, "pull_request": record.number, "head": record.head_sha[:12]}
    if review is None:
        return known
    of_review: dict[str, str | int] = {
        "verdict": review.verdict.value,
        "changes": counts_text(counts_of(review.plans)),
        "cost": cost_text(review),
        "findings": review.findings,
    }
    return {**known, **of_review}


async def _design(record: IprRecord, reads: ReadDesk) -> str:
    review = await stored_review(reads.about, record)
    findings = [f for s in review.scopes if s.audit for f in s.audit.findings] if review else []
    return told_answer(telling.suggest_told("", "", lacking(findings)), "").strip()


async def _failure(record: IprRecord, reads: ReadDesk) -> str:
    run = await reads.failure(record)
    if run is None:
        return told_answer(Told("Diagnosis", ("No run of this pull request failed.",)), "").strip()
    about = f"Run {run.run} of {run.scope}: {run.reason.splitlines()[0][:300]}"
    return told_answer(telling.trouble_told(about, examined(run.reason, ())), "").strip()
