"""The documentation of the rules, made from the rules: what each finds, why, by which clause, with both examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value
from controller.blueprint.writing import yaml_text
from controller.review.rules.rule import Rule, Sample


def rule_page(rule: Rule) -> str:
    """One rule as text for a terminal: plain lines, ready to be read or piped."""
    return "\n".join(_page(rule)) + "\n"


def _page(rule: Rule) -> Iterator[str]:
    yield f"{rule.id} ({rule.severity.value}, {rule.reason.value})"
    yield ""
    yield f"{rule.title}. {rule.why}"
    yield ""
    yield f"Source: {rule.source}"
    yield f"Looks at: {', '.join(kinds_of(rule))}"
    for framework, controls in sorted(rule.controls.items()):
        yield f"{framework}: {', '.join(controls)}"
    found = example(rule)
    yield ""
    yield "Found in:"
    yield from _indented(sample_text(rule.bad))
    yield ""
    yield f"as: {found['message']}"
    yield f"mend: {found['fix']}"
    yield ""
    yield "Not found in:"
    yield from _indented(sample_text(rule.good))


def _indented(text: str) -> Iterator[str]:
    yield from (f"    {line}" for line in text.splitlines())


def kinds_of(rule: Rule) -> tuple[str, ...]:
    """The engine kinds it covers, in words: `every kind` where it asks none."""
    return ("every kind",) if "*" in rule.kinds else rule.kinds


def example(rule: Rule) -> Mapping[str, str]:
    """What the rule says of its bad example: message and mend."""
    found = next(iter(rule.findings(rule.bad.view())))
    return {"message": found.message, "fix": found.fix}


def sample_text(sample: Sample) -> str:
    """An example as a blueprint writes it; for rules about plans, what the plan would do with it."""
    entry = sample.entry()
    shown: dict[str, Value] = {"type": entry.type}
    lifecycle = {"protect": True} if entry.lifecycle.protect else {}
    health = {entry.health.kind.value: {"port": entry.health.port}} if entry.health else {}
    waivers = [{"rule": w.rule, "reason": w.reason, "by": w.by, "until": w.until.isoformat()} for w in entry.waivers]
    parts: Iterable[tuple[str, Value]] = (
        ("provider", entry.provider),
        ("engine", entry.product),
        ("specs", entry.specs),
        ("network", entry.network),
        ("backup", entry.backup),
        ("metadata", entry.metadata),
        ("health", health),
        ("lifecycle", lifecycle),
        ("dependencies", [d.rpartition("/")[2] for d in entry.dependencies]),
        ("waivers", waivers),
    )
    shown |= {key: value for key, value in parts if value}
    return f"{_plan_line(sample)}{yaml_text(shown)}{''.join(_beside(o) for o in sample.others)}"


def _beside(other: Entry) -> str:
    """Another resource of the example, as comments: the example stays one resource."""
    text = yaml_text({"name": other.name, "type": other.type, **({"specs": other.specs} if other.specs else {})})
    return "# beside it:\n" + "".join(f"#   {line}\n" for line in text.splitlines())


def _plan_line(sample: Sample) -> str:
    if sample.action is None:
        return ""
    down = f", {sample.down_s} s down" if sample.down_s else ""
    undo = "" if sample.reversible else ", without a way back"
    return f"# the plan: {sample.action.value}, disruption {sample.disruption.value}{down}{undo}\n"


def rule_json(rule: Rule) -> Mapping[str, object]:
    """One rule for programs."""
    return {
        "id": rule.id,
        "title": rule.title,
        "severity": rule.severity.value,
        "reason": rule.reason.value,
        "why": rule.why,
        "source": rule.source,
        "kinds": list(kinds_of(rule)),
        "controls": {framework: list(controls) for framework, controls in sorted(rule.controls.items())},
        **example(rule),
        "bad": sample_text(rule.bad),
        "good": sample_text(rule.good),
    }
