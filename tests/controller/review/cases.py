"""The reviews whose texts are kept under `tests/golden/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from controller.blueprint.entry import Disruption, Waived
from controller.errors import Place, Problem
from controller.plan.graph import DesiredGraph
from controller.plan.step import Action, FieldChange, TaskRef
from controller.review.audit import audit
from controller.review.capacity import Load, Measure
from controller.review.compliance import compliance
from controller.review.cost import Budget, cost, within_budget
from controller.review.finding import Severity
from controller.review.narrative import told_by_rules
from controller.review.price_book import Power, PriceBook, Usage
from controller.review.report import Review, RunProgress, RunRow, RunState, ScopeReview
from controller.review.rules.rule import ScopeView
from tests.controller.review.making import change, entry, plan

HEAD, BASE = "0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"
COMMANDS = {"/alma plan": "plan again, now", "/alma confirm 4f0c12ab34cd": "let it run", "/alma help": "every command"}
BOOK = PriceBook("EUR", "test rates", date(2026, 11, 1), Decimal(2), Decimal(1), {"ssd": Decimal("0.01")}, "ssd")


@dataclass(frozen=True)
class Case:
    review: Review
    runs: tuple[RunProgress, ...] = ()


def _web() -> ScopeReview:
    base = entry("web", specs={"image": "web:1.4", "cpu": 1, "memory": "1GB"})
    waiver = Waived("no-restart-policy", "started by hand for now", "ann", date(2027, 1, 31), Place("shop.yaml", 9, 7))
    head = [
        entry("web", specs={"image": "web:latest", "cpu": 2, "memory": "1GB"}, waivers=(waiver,)),
        entry("db", "database", {"image": "postgres:16", "ports": ["5432:5432"], "volumes": ["data:/var/lib"]}),
    ]
    changes = plan(
        change("prod/shop/db", Action.CREATE, Disruption.NONE, (FieldChange("image", None, "postgres:16"),)),
        change(
            fields=(FieldChange("image", "web:1.4", "web:latest"), FieldChange("env.TOKEN", "old", "new", True)),
            wave=1,
            down_s=2,
        ),
        edges={"prod/shop/web": ("prod/shop/db",)},
    )
    found = audit(ScopeView(DesiredGraph("prod", tuple(head), {}), changes), date(2026, 11, 21))
    return ScopeReview("prod", changes, found, cost(BOOK, [base], head))


def _judged() -> ScopeReview:
    """With frameworks, room on the target, and prices of every kind."""
    web = _web()
    assert web.audit is not None
    found = (
        Load("edge-1", Measure.CPU, 16_000, 6_500, 2_000),
        Load("edge-1", Measure.MEMORY, 64 * 2**30, 57 * 2**30, 3 * 2**30),
        Load("edge-1", Measure.DISK, 500 * 10**9, None, 40 * 10**9),
        Load("pve", Measure.MEMORY, None, None, -(2**30)),
    )
    prices = replace(BOOK, power=Power(Decimal("0.30"), Decimal("1.5"), Decimal(10)), grams_per_kwh=Decimal(400))
    prices = replace(prices, usage=Usage(Decimal("0.5"), Decimal(1), Decimal(2)))
    head = [entry("web", specs={"image": "web:1", "cpu": 2, "memory": "1GB", "gpu": 1})]
    return replace(web, loads=found, compliance=compliance(web.audit, ["SOC2", "GDPR"]), cost=cost(prices, None, head))


def _base(*scopes: ScopeReview) -> Review:
    costs = [s.cost for s in scopes if s.cost]
    made = Review(
        scopes,
        HEAD,
        BASE,
        Severity.HIGH,
        within_budget(costs, Budget(Decimal(500), "EUR")) if costs else None,
        links={"Full plan": "https://alma.example.org/ipr/7"},
        commands=COMMANDS,
    )
    return replace(made, narrative=told_by_rules(made))


def _danger() -> ScopeReview:
    changes = plan(
        change("prod/shop/old", Action.DESTROY, Disruption.DATA_LOSS, lost=("what is in volume old-data",), wave=1),
        change(
            "prod/shop/vm",
            Action.RECREATE,
            Disruption.RECREATE,
            (FieldChange("node", "pve1", "pve2"),),
            kind="proxmox/qemu",
        ),
        change("prod/shop/lamp", Action.ADOPT, Disruption.NONE, reason="vmid 104, named by uid"),
        change("prod/shop/note", Action.FORGET, Disruption.NONE),
    )
    found = audit(ScopeView(DesiredGraph("prod", (), {}), changes), date(2026, 11, 21))
    return ScopeReview("prod", changes, found, waits=("2 of 4 objects would be deleted or made anew",))


def _run(state: RunState, **more: object) -> RunProgress:
    rows = (
        RunRow("prod/shop/db", Action.CREATE, "done", 1.24, (TaskRef("abcdefghijkl"),)),
        RunRow(
            "prod/shop/web",
            Action.UPDATE,
            "failed" if state is RunState.UNDONE else "done",
            12.0,
            tuple(TaskRef(f"UPID:pve:{n}", "https://pve.example:8006/#v1:0:=node%2Fpve:4:4::::::") for n in range(8)),
        ),
    )
    return replace(RunProgress("run-1", "prod", state, rows, 14.2), **more)  # type: ignore[arg-type] # names checked


def cases() -> Mapping[str, Case]:
    blocked = (
        ScopeReview(
            "edge", problems=(Problem(Place("edge.yaml", 4, 9), "invalid format", "resources.0.specs.memory"),)
        ),
        ScopeReview("home", refused="prod/shop/web needs reboot, its max_disruption is restart"),
        ScopeReview("pve", unreadable="pve: connection refused"),
    )
    undone = _run(
        RunState.UNDONE,
        diagnosis="web: exit 1\nlistening on :80 failed: address in use",
        next_step="free port 80 on edge-1, then merge again",
        revert_number=9,
    )
    rest = ("prod-shop-web.run-1.old: in use by a mount", "prod-shop-db.run-1.old: in use")
    return {
        "shop-update": Case(_base(_web())),
        "destroy-and-recreate": Case(_base(_danger())),
        "no-scope": Case(_base()),
        "full-judgement": Case(_base(_judged())),
        "nothing-to-do": Case(_base(ScopeReview("prod", plan()))),
        "new-scope": Case(_base(replace(_web(), new=True))),
        "blocked": Case(_base(*blocked)),
        "run-going": Case(_base(_web()), (_run(RunState.VERIFYING),)),
        "run-queued": Case(_base(_web()), (RunProgress("", "prod", RunState.QUEUED, diagnosis="paused by os:ann"),)),
        "run-done-with-a-rest": Case(_base(_web()), (_run(RunState.DONE, warnings=rest, next_step="remove it"),)),
        "merged-unreviewed": Case(Review((ScopeReview("prod"),), HEAD, BASE, unreviewed=True), (_run(RunState.DONE),)),
        "nothing-ran": Case(replace(_base(ScopeReview("prod", plan())), nothing_ran=True)),
        "run-done": Case(_base(_web()), (_run(RunState.DONE),)),
        "run-undone": Case(_base(_web()), (undone,)),
        "run-parked": Case(
            _base(_web()), (_run(RunState.PARKED, diagnosis="pve did not answer", next_step="/alma retry run-1"),)
        ),
        "run-waiting": Case(_base(_danger()), (_run(RunState.WAITING, confirm="/alma confirm 4f0c12ab34cd"),)),
        "run-superseded": Case(_base(_web()), (_run(RunState.SUPERSEDED, continues_in=8),)),
        "run-cancelled": Case(_base(_web()), (_run(RunState.CANCELLED),)),
        "two-runs": Case(
            _base(_web(), replace(_danger(), name="edge")), (_run(RunState.DONE), replace(undone, scope="edge"))
        ),
    }
