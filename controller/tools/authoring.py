"""create_blueprint, suggest_architecture and validate_blueprint: from words to a starter, by rules and templates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from controller.blueprint.catalog import Template, template
from controller.blueprint.value import Value
from controller.blueprint.writing import yaml_text
from controller.errors import InvalidInput, Problem
from controller.plan.graph import Placement, desired_graph
from controller.plan.resource import Allow
from controller.review.cost import cost
from controller.review.finding import Finding
from controller.tools.reading import SCOPE, OneBlueprint, audited, loaded, short
from controller.tools.tool import Ground, Strict, Tool

# Template → words that speak for it; the one with the most wins, in this order.
_WORDS: Mapping[str, str] = {
    "microservices-k8s": r"kubernetes|k8s|microservices?|cluster of \d+ nodes",
    "ml-training": r"machine learning|ml|training|gpu|pytorch|model",
    "data-pipeline": r"pipeline|etl|warehouse|airflow|batch|clickhouse",
    "observability-stack": r"observability|prometheus|grafana|metrics|logs|monitoring",
    "zero-trust-network": r"zero[- ]trust|identity|keycloak|single sign[- ]on|sso",
    "api-gateway": r"api|gateway|kong",
    "redis-cluster": r"redis|cache|session store",
    "postgres-ha": r"postgres(?:ql)?|database|sql",
    "ha-web-app": r"ha|highly available|high availability|production|web|website|shop|replicas?",
    "simple-web-app": r"simple|small|single|first|virtual machines?|vms?",
}
_COUNT = re.compile(
    r"\b(\d{1,3})\s+(?:instances?|copies|replicas?|servers?|nodes?|workers?|machines?|trainers?|services?)\b"
)
_COUNTED = ("instance_count", "workers", "trainers", "services", "gateways")
_SHRINKING = 12


class Constraints(Strict):
    max_cost: Annotated[Decimal, Field(gt=0, le=10**9)] | None = None
    region: Annotated[str, Field(max_length=60)] | None = None


class CreateTakes(Strict):
    description: Annotated[str, Field(min_length=1, max_length=10_000)]
    name: Annotated[str, Field(pattern=r"^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$")] | None = None
    constraints: Constraints = Constraints()


class CreateGives(Strict):
    blueprint: str
    template: str
    parameters: dict[str, str]
    monthly_cost: Decimal
    currency: str
    assumptions: tuple[str, ...]


def create_blueprint(given: CreateTakes, ground: Ground) -> CreateGives:
    found = matching(given.description)
    assumptions = [f"taken as {found.name}: {found.use}"]
    values = dict(_counted(found, given.description, assumptions))
    text = _written(found, values, given)
    sum_ = cost(ground.book, None, loaded(text).entries).total_after
    for _ in range(_SHRINKING):
        if given.constraints.max_cost is None or sum_ <= given.constraints.max_cost or not _shrink(found, values):
            break
        text = _written(found, values, given)
        sum_ = cost(ground.book, None, loaded(text).entries).total_after
    if given.constraints.max_cost is not None:
        fits = sum_ <= given.constraints.max_cost
        assumptions.append("made small enough for the cost" if fits else "even the smallest costs more than allowed")
    if given.constraints.region:
        assumptions.append(f"region {given.constraints.region} is written into metadata; targets decide where it runs")
    shown = {k: str(v) for k, v in {**found.values({}), **values}.items()}
    return CreateGives(
        blueprint=text,
        template=found.name,
        parameters=shown,
        monthly_cost=sum_,
        currency=ground.book.currency,
        assumptions=tuple(assumptions),
    )


def matching(description: str) -> Template:
    """The template that most words speak for; a highly available web application where none does."""
    said = description.lower()
    named = next((name for name in _WORDS if name in said), None)
    if named:
        return template(named)
    scores = {name: len(re.findall(rf"\b(?:{words})\b", said)) for name, words in _WORDS.items()}
    best = max(scores, key=lambda name: scores[name])
    return template(best if scores[best] else "ha-web-app")


def _counted(found: Template, description: str, assumptions: list[str]) -> Iterator[tuple[str, Value]]:
    """A number of copies that is written, in the bounds of the template."""
    number = _COUNT.search(description.lower())
    said = next((n for n in _COUNTED if number and n in number[0]), None)
    name = said if said in found.parameters else next((n for n in _COUNTED if n in found.parameters), None)
    if number and name:
        p = found.parameters[name]
        value = min(max(int(number[1]), p.minimum or 0), p.maximum or 10**6)
        assumptions.append(f"{name} is {value}, as in “{number[0]}”")
        yield name, value


def _written(found: Template, values: Mapping[str, Value], given: CreateTakes) -> str:
    metadata = {"metadata": {"region": given.constraints.region}} if given.constraints.region else {}
    resources = tuple(dict(r) for r in found.render(values))
    return yaml_text({"name": given.name or found.name, "description": found.about, **metadata, "resources": resources})


def _shrink(found: Template, values: dict[str, Value]) -> bool:
    """Halve cores and memory of each copy; False when nothing can be made smaller."""
    smaller = False
    for name in ("cpu_per_instance", "memory_per_instance"):
        p = found.parameters.get(name)
        if p is None:
            continue
        now = values.get(name, p.default)
        number = re.match(r"\d+", str(now))
        half = int(number[0]) // 2 if number else 0
        if half >= (p.minimum or 1):
            values[name] = half if isinstance(now, int) else f"{half}{str(now)[len(number[0]) if number else 0 :]}"
            smaller = True
    return smaller


class SuggestTakes(Strict):
    """Requirements in words, or a blueprint to look at; both may be given."""

    requirements: Annotated[str, Field(max_length=10_000)] = ""
    blueprint: Annotated[str, Field(max_length=1_048_576)] = ""


class Suggestion(Strict):
    title: str
    why: str
    resources: tuple[str, ...] = ()


class SuggestGives(Strict):
    template: str | None
    suggestions: tuple[Suggestion, ...]


ARCHITECTURE = (
    "single-point-of-failure",
    "circular-exposure",
    "no-backup",
    "data-without-volume",
    "database-port-public",
    "no-health-check",
    "guest-not-highly-available",
    "copies-side-by-side",
    "one-copy",
    "pod-without-network-policy",
    "not-encrypted-at-rest",
    "missing-dependency",
)


def suggest_architecture(given: SuggestTakes, ground: Ground) -> SuggestGives:
    if not given.requirements and not given.blueprint:
        raise InvalidInput(
            "suggest_architecture needs requirements or a blueprint", hint="--json '{\"requirements\": …}'"
        )
    found = matching(given.requirements) if given.requirements else None
    suggestions = [Suggestion(title=f"begin with {found.name}", why=found.about)] if found else []
    if given.blueprint:
        suggestions += lacking(audited(given.blueprint, ground).findings)
    return SuggestGives(template=found.name if found else None, suggestions=tuple(suggestions))


def lacking(findings: Sequence[Finding]) -> list[Suggestion]:
    """What a design lacks, one suggestion per rule that speaks of design, with the resources it is about."""
    suggestions = []
    for rule in ARCHITECTURE:
        hits = [f for f in findings if f.rule == rule]
        if hits:
            names = tuple(dict.fromkeys(short(f.resource) for f in hits))
            suggestions.append(Suggestion(title=hits[0].fix, why=hits[0].message, resources=names))
    return suggestions


class Mistake(Strict):
    path: str
    message: str
    line: int | None
    column: int | None


class ValidateGives(Strict):
    valid: bool
    errors: tuple[Mistake, ...]
    warnings: tuple[str, ...]


def validate_blueprint(given: OneBlueprint, ground: Ground) -> ValidateGives:
    try:
        entries = loaded(given.blueprint).entries
        if ground.kinds:
            known = {engine: (engine,) for engine in ground.kinds}
            lone = "simulation" if "simulation" in known else next(iter(known))
            placed = [e if e.provider else replace(e, provider=lone) for e in entries]
            secrets = Allow(targets=tuple(known), secrets=("env:*", "file:*"))
            desired_graph(SCOPE, placed, Placement(known, ground.kinds, secrets))
    except InvalidInput as error:
        return ValidateGives(valid=False, errors=tuple(_mistake(p) for p in error.problems), warnings=())
    warnings = (f"{short(f.resource)}: {f.message} → {f.fix}" for f in audited(given.blueprint, ground).notable)
    return ValidateGives(valid=True, errors=(), warnings=tuple(warnings))


def _mistake(problem: Problem) -> Mistake:
    place = problem.place
    return Mistake(
        path=problem.path,
        message=problem.message,
        line=place.line if place else None,
        column=place.col if place else None,
    )


CREATE_BLUEPRINT = Tool(
    "create_blueprint", "A blueprint from a description in words.", CreateTakes, CreateGives, create_blueprint
)
SUGGEST_ARCHITECTURE = Tool(
    "suggest_architecture",
    "A starter for requirements, and what a blueprint lacks.",
    SuggestTakes,
    SuggestGives,
    suggest_architecture,
)
VALIDATE_BLUEPRINT = Tool(
    "validate_blueprint",
    "Mistakes of a blueprint with their lines, and warnings.",
    OneBlueprint,
    ValidateGives,
    validate_blueprint,
)
