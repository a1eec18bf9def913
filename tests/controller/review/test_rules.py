"""Every rule finds its bad example and leaves its good one alone; a rule without either cannot land."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from datetime import date

import pytest

from controller.blueprint.document import read_document
from controller.blueprint.entry import Entry, Waived
from controller.blueprint.node import plain
from controller.errors import Place
from controller.plan.graph import DesiredGraph
from controller.review import rules
from controller.review.audit import FORMULA, Audit, audit, score
from controller.review.finding import Finding, Severity
from controller.review.rule_text import rule_page, sample_text
from controller.review.rules import RULES, changes
from controller.review.rules.coverage import ANYTHING
from controller.review.rules.rule import Rule, ScopeView
from controller.review.rules.specs import ports
from tests.controller.review.making import entry, plan, twice_told

TODAY = date(2026, 11, 21)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_a_rule_finds_its_bad_example_and_not_its_good_one(rule: Rule, report_n: Callable[..., None]) -> None:
    bad, good = list(rule.findings(rule.bad.view())), list(rule.findings(rule.good.view()))
    assert bad and not good
    assert all(f.rule == rule.id and f.message and f.fix for f in bad)
    assert "prod/shop/web" in {f.resource for f in bad}
    report_n("M19 rules", 2)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_a_rule_says_why_and_where_it_comes_from(rule: Rule) -> None:
    assert rule.why.endswith(".") and rule.source and rule.title and not rule.title.endswith(".")
    assert rule.kinds == (ANYTHING,) or ANYTHING not in rule.kinds
    assert rule.controls, "a rule that bears on no control of any framework is no audit rule"


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_a_finding_names_the_field_it_is_about(rule: Rule) -> None:
    """But for rules about plans: there the resource as a whole is meant."""
    found = list(rule.findings(rule.bad.view()))
    assert rule in changes.RULES or all(f.path and f.place for f in found)


def test_no_two_rules_fire_on_one_field_for_one_reason() -> None:
    """Shown on every example of every rule; the corpus shows it on what others wrote."""
    for rule in RULES:
        for sample in (rule.bad, rule.good):
            assert twice_told(sample.view()) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_the_page_of_a_rule_holds_both_examples_as_they_are_read_back(rule: Rule) -> None:
    page = rule_page(rule)
    assert rule.source in page and rule.why in page and rule.id in page
    for sample in (rule.bad, rule.good):
        document = read_document(sample_text(sample).encode(), "sample.yaml")
        assert str(plain(document)).startswith(f"{{'type': '{sample.type}'")


def test_rules_have_ids_of_their_own() -> None:
    assert len(RULES) >= 120 and len({r.id for r in RULES}) == len(RULES)


def test_every_rule_that_is_written_is_run() -> None:
    written = set()
    for module in pkgutil.iter_modules(rules.__path__):
        inside = vars(importlib.import_module(f"{rules.__name__}.{module.name}")).values()
        written |= {value.id for value in inside if isinstance(value, Rule)}
    assert written == {r.id for r in RULES}


def view(*entries: object) -> ScopeView:
    return ScopeView(DesiredGraph("prod", tuple(entries), {}), plan())  # type: ignore[arg-type] # entries only


def waived(rule: str, until: date) -> Waived:
    return Waived(rule, "behind a VPN", "ann", until, Place("shop.yaml", 12, 9))


PRIVILEGED = {"image": "a:1@sha256:1", "privileged": True, "memory": "1GB", "cpu": 1, "restart": "always"}
PRIVILEGED |= {"security_opt": ["no-new-privileges:true"]}


def test_a_waiver_holds_on_its_last_day_and_no_longer() -> None:
    on_time = audit(view(entry(specs=PRIVILEGED, waivers=(waived("privileged", TODAY),))), TODAY)
    assert [w.finding.rule for w in on_time.waived] == ["privileged"] and not on_time.notable
    late = audit(view(entry(specs=PRIVILEGED, waivers=(waived("privileged", date(2026, 11, 20)),))), TODAY)
    assert [f.rule for f in late.notable] == ["privileged", "waiver-expired"] and not late.waived
    assert late.notable[1].place == Place("shop.yaml", 12, 9)


def test_a_waiver_for_no_rule_is_a_finding() -> None:
    found = audit(view(entry(specs=PRIVILEGED, waivers=(waived("privilegd", TODAY),))), TODAY).notable
    assert [f.rule for f in found] == ["privileged", "waiver-unknown"]


def test_a_waiver_covers_its_own_resource_only() -> None:
    two = view(entry(specs=PRIVILEGED, waivers=(waived("privileged", TODAY),)), entry("b", specs=PRIVILEGED))
    assert [f.resource for f in audit(two, TODAY).notable] == ["prod/shop/b"]


def test_findings_come_worst_first_and_carry_their_place() -> None:
    specs = {**PRIVILEGED, "cpu": None, "image": "a"}
    placed = entry(specs=specs, places={"specs.privileged": Place("shop.yaml", 8, 7)})
    found = audit(view(placed), TODAY).findings
    assert [f.severity.rank for f in found] == sorted((f.severity.rank for f in found), reverse=True)
    assert found[0].place == Place("shop.yaml", 8, 7)


def finding(rule: str, severity: Severity) -> Finding:
    return Finding(rule, severity, "prod/shop/web", None, "m", "f")


def test_the_mark_counts_each_rule_once() -> None:
    assert str(score([])) == "10.0"
    assert str(score([finding("a", Severity.HIGH)] * 50)) == "8.0"
    several = [finding("a", Severity.HIGH), finding("b", Severity.MEDIUM), finding("c", Severity.LOW)]
    assert str(score([*several, finding("d", Severity.INFO)])) == "6.8"
    assert str(score([finding(str(i), Severity.CRITICAL) for i in range(9)])) == "0.0"
    assert "each rule counted once" in FORMULA


@pytest.mark.parametrize(
    ("fail_on", "fails"),
    [(None, False), (Severity.CRITICAL, False), (Severity.HIGH, True), (Severity.LOW, True)],
)
def test_an_audit_fails_from_the_set_severity_on(fail_on: Severity | None, fails: bool) -> None:
    one = Audit((finding("a", Severity.HIGH),))
    assert one.fails(fail_on) is fails
    assert not Audit().fails(fail_on)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("8080:80", ("", 8080, 80)),
        ("127.0.0.1:8080:80/tcp", ("127.0.0.1", 8080, 80)),
        ("[::1]:8080:80", ("::1", 8080, 80)),
        ("8000-8010:9000-9010", ("", 8000, 9000)),
        ({"published": 8080, "target": 80, "host_ip": "10.0.0.1"}, ("10.0.0.1", 8080, 80)),
        ({"target": 80}, None),
        ("80", None),
        ("${values.port}:80", None),
        ("x:y", None),
        (80, None),
    ],
)
def test_ports_are_read_in_every_form(written: object, read: tuple[str, int, int] | None) -> None:
    found = [(p.host_ip, p.published, p.target) for p in ports(entry(specs={"ports": [written]}))]
    assert found == ([read] if read else [])


def test_a_finding_never_repeats_the_secret() -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    specs = {**PRIVILEGED, "env": [f"TOKEN={secret}"], "labels": {"x": secret}, "command": ["run", "--token", secret]}
    found = [f for f in audit(view(entry(specs=specs)), TODAY).findings if f.rule == "plain-secret"]
    assert len(found) == 3 and secret not in str(found)


def test_a_ring_of_published_services_is_found_however_long_it_is() -> None:
    def calls(name: str, port: int, other: str | None) -> Entry:
        specs = {"image": "app:1", "ports": [f"{port}:80"], "env": {"PEER_URL": f"http://{other}:80"} if other else {}}
        return entry(name, specs=specs)

    ring = [calls("a", 8081, "b"), calls("b", 8082, "c"), calls("c", 8083, "a"), calls("d", 8084, "a")]
    view = ScopeView(DesiredGraph("prod", tuple(ring), {}), plan())
    rule = next(r for r in RULES if r.id == "circular-exposure")
    assert [f.resource for f in rule.findings(view)] == ["prod/shop/a", "prod/shop/b", "prod/shop/c"]
