"""What tools give → what people are told of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.review.told import Told
from controller.review.wording import many, money_text
from controller.tools.authoring import Suggestion
from controller.tools.comparing import CompareGives
from controller.tools.forecasting import ForecastGives
from controller.tools.persona import Persona
from controller.tools.queueing import CapacityGives
from controller.tools.troubles import TroubleGives


def compare_told(given: CompareGives) -> Told:
    rows = [("added", name, "", "", "") for name in given.added]
    rows += [("removed", name, "", "", "") for name in given.removed]
    rows += [("changed", c.resource, f.path, f.before, f.after) for c in given.changed for f in c.fields]
    counts = f"{len(given.added)} added, {len(given.removed)} removed, {len(given.changed)} changed"
    money = money_text(given.cost_delta, given.currency, signed=True)
    said = (f"This branch against the tracked one: {counts}, {money} a month.",)
    return Told("Compared", said, ("", "Resource", "Field", "Before", "After"), tuple(rows))


def suggest_told(template: str, about: str, suggestions: Sequence[Suggestion]) -> Told:
    said = [f"A starter for this: {template}, {about}. See alma templates show {template}."] if template else []
    if not suggestions and not template:
        said.append("Nothing that the rules of design look for is missing.")
    rows = tuple((s.title, s.why, ", ".join(s.resources)) for s in suggestions)
    return Told("Suggestions", tuple(said), ("Do", "Because", "Where"), rows)


def capacity_told(given: CapacityGives) -> Told:
    need = f"{many(given.instance_count, 'instance')} for {given.requests_per_second:g} requests a second"
    size = f"{given.cpu:g} cores and {given.memory_gib:g} GiB of memory in all"
    wait = f"95 of 100 requests wait at most {given.wait_p95_ms:g} ms; {given.headroom:.0%} of it stays free."
    return Told("Capacity for a load", (f"{need}: {size}.", wait), points=given.assumptions)


def forecast_told(given: ForecastGives) -> Told:
    said = [f"{given.method}; the trend is {given.trend_per_step:g} a step."]
    if given.full_in_steps is not None:
        said.append(f"The limit is reached in {many(given.full_in_steps, 'step')}.")
    rows = tuple((f"{p.step}", f"{p.value:g}", f"{p.lower:g}", f"{p.upper:g}") for p in given.points)
    return Told("Forecast", tuple(said), ("Step", "Value", "At least", "At most"), rows)


def trouble_told(about: str, given: TroubleGives) -> Told:
    causes = ", and ".join(given.probable_causes)
    said = (f"Probable cause: {causes}.", *(f"{e[:1].upper()}{e[1:]}." for e in given.evidence))
    return Told("Diagnosis", (f"{about}.", *said) if about else said, points=given.next_steps)


def personas_told(personas: Iterable[Persona]) -> Told:
    rows = tuple((p.name, p.tone, ", ".join(p.verbs), p.alone) for p in personas)
    said = ("A manner changes how an answer is told, never what it says.",)
    return Told("Personas", said, ("Persona", "Manner", "Answers by itself", "Named alone"), rows)
