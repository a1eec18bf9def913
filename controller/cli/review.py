"""`alma review`: the whole pull request comment, offline, from two revisions of a Git repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import click

from controller.cli.checkout import commit_named, repository_around
from controller.cli.session import blocking, name_unfinished, scopes_here, settings_of, state_of, targets_here
from controller.cli.show import print_json
from controller.errors import InvalidInput, Place, Problem, Unreachable
from controller.git.repository import Mirror
from controller.plan.codec import to_json
from controller.review.compliance import Compliance
from controller.review.finding import WaivedFinding
from controller.review.junit import junit
from controller.review.markdown import comment
from controller.review.plan_text import plan_json
from controller.review.report import Review, ScopeReview, Verdict
from controller.review.sarif import sarif
from controller.review.statuses import statuses
from controller.runtime.attaching import Attaching
from controller.runtime.clock import SystemClock
from controller.runtime.folder import scope_name
from controller.runtime.records import ScopeRecord
from controller.runtime.reviewing import Reviewing
from controller.runtime.source import TREE, Granted, RepositorySource
from controller.settings import Loaded
from controller.targets import Targets, everything_allowed, targets_of
from controller.voices import PlainNarrator

Json = Any
_OUTPUTS = ["markdown", "json", "sarif", "junit"]


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What the state folder knows of scopes, as a review asks for it."""

    scopes: Mapping[str, ScopeRecord]

    async def get(self, cls: type[ScopeRecord], key: str) -> ScopeRecord | None:
        return self.scopes.get(key)


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--base", required=True, metavar="REV", help="Branch or commit it would be merged into.")
@click.option("--head", required=True, metavar="REV", help="Branch or commit that would be merged.")
@click.option(
    "-o", "--output", type=click.Choice(["markdown", "json", "sarif", "junit"]), default="markdown", show_default=True
)
@click.pass_context
def review(ctx: click.Context, path: Path, base: str, head: str, output: str) -> int:
    """Judge what merging one revision of PATH's repository into another would do, as a pull request is judged.

    Asks the targets, changes nothing. Exit 4 when it is blocked: invalid, refused, over budget or unsafe.
    """
    loaded = settings_of(ctx)
    made = blocking(lambda: _reviewed(loaded, state_of(ctx, loaded), path, base, head))
    if output == "json":
        print_json(_json(made))
    elif output == "sarif":
        print_json(sarif(made, installed_version("alma-controller")))
    elif output == "junit":
        click.echo(junit(made), nl=False)
    else:
        click.echo(comment(made, None, "").lstrip("\n"))
    if made.verdict is Verdict.UNREADABLE:
        raise Unreachable("; ".join(s.unreadable for s in made.scopes if s.unreadable), hint="nothing was changed")
    return 4 if made.verdict is Verdict.BLOCKED else 0


async def _reviewed(loaded: Loaded, state: Path, path: Path, base: str, head: str) -> Review:
    if not path.exists():
        raise InvalidInput(f"{path}: no such file or folder", hint="name a Git repository or a folder in one")
    remembered = scopes_here(loaded, state)
    name_unfinished(list(remembered.values()))
    async with repository_around(path, state) as mirror, targets_here(loaded, state) as targets:
        onto, merged, from_ = await _revisions(mirror, base, head)
        granted, attaching = _granted(loaded, targets, path), Attaching(targets.planning.kinds)
        source = RepositorySource("folder", mirror, granted, scope_name(path.absolute()), attaching=attaching)
        reviewing = Reviewing(targets.planning, _Remembered(remembered), PlainNarrator())
        judged = await reviewing.compare(source, onto, merged, from_, True, SystemClock().wall().date())
        return judged.review


async def _revisions(mirror: Mirror, base: str, head: str) -> tuple[str, str, str]:
    """The base's commit, the tree that a merge would give, the head's commit. Raises InvalidInput for conflicts."""
    onto, from_ = await commit_named(mirror, base), await commit_named(mirror, head)
    preview = await mirror.merge_preview(onto, from_)
    if preview.tree is None:
        problems = [Problem(Place(p), f"conflicts with {base}") for p in list(preview.conflicts)[:20]]
        raise InvalidInput(problems, hint=f"merge {base} into {head} first")
    return onto, f"{TREE}{preview.tree}", from_


def _granted(loaded: Loaded, targets: Targets, path: Path) -> Granted:
    """What the server grants the repository at this path; without a server's word, what the caller could do anyway."""
    roots = {str(p) for p in (path.absolute(), *path.absolute().parents)}
    name = next((r.name for r in loaded.settings.repositories if r.url.rstrip("/") in roots), None)
    if name is None:
        everything = everything_allowed(tuple(targets.engines), targets.environment)
        return Granted(targets_of(targets), everything, targets.offered)
    given = loaded.settings.allow.get(name)
    if given is None:
        raise InvalidInput(f"the server grants {name} nothing", hint=f"allow.{name} in its configuration")
    return Granted(targets_of(targets, given.targets), given.allow())


def _json(made: Review) -> Json:
    """`alma.review/v1`."""
    return {
        "format": "alma.review/v1",
        "base": made.base,
        "head": made.head,
        "verdict": str(made.verdict),
        "disruption": str(made.disruption),
        "plans": [plan_json(p) for p in made.plans],
        "scopes": [_scope(s) for s in made.scopes],
        "findings": [
            {"scope": s.name, **to_json(f), "place": str(f.place) if f.place else None}
            for s in made.scopes
            if s.audit
            for f in s.audit.findings
        ],
        "cost": {s.name: _cost(s) for s in made.scopes if s.cost},
        "budget": to_json(made.budget) if made.budget else None,
        "statuses": [line._asdict() for line in statuses(made)],
    }


def _scope(scope: ScopeReview) -> Json:
    return {
        "scope": scope.name,
        "new": scope.new,
        "digest": scope.plan.digest if scope.plan else None,
        "problems": [str(p) for p in scope.problems],
        "refused": scope.refused,
        "unreadable": scope.unreadable,
        "waits": list(scope.waits),
        "score": str(scope.audit.score) if scope.audit else None,
        "waived": [{**to_json(w.finding), "reason": w.waiver.reason, "by": w.waiver.by} for w in _waived(scope)],
        "compliance": {c.framework: _framework(c) for c in scope.compliance},
        "capacity": [{**to_json(load), "after": load.after} for load in scope.loads],
    }


def _waived(scope: ScopeReview) -> tuple[WaivedFinding, ...]:
    return scope.audit.waived if scope.audit else ()


def _framework(found: Compliance) -> Json:
    controls = {c.id: {"status": c.state.value, "evidence": c.evidence} for c in found.controls}
    return {"status": found.state.value, "controls": controls}


def _cost(scope: ScopeReview) -> Json:
    assert scope.cost is not None, "asked for scopes with a cost"
    return {
        "before": str(scope.cost.total_before),
        "after": str(scope.cost.total_after),
        "change": str(scope.cost.delta),
        "currency": scope.cost.currency,
        "low": None if scope.cost.low is None else str(scope.cost.low),
        "high": None if scope.cost.high is None else str(scope.cost.high),
        "co2_kg": None if scope.cost.co2_kg is None else str(scope.cost.co2_kg),
        "unpriced": [{"resource": r, "why": why} for r, why in scope.cost.unpriced],
    }
