"""A wish about a branch → the files that meet it, and what to say of them. Nothing is written here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from controller.blueprint.catalog import template
from controller.blueprint.editing import Setting, edited
from controller.blueprint.entry import Entry
from controller.blueprint.repository import ScopeConfig
from controller.blueprint.value import Value
from controller.blueprint.writing import yaml_text
from controller.errors import InvalidInput
from controller.review.finding import Finding
from controller.review.price_book import PriceBook
from controller.review.told import Told
from controller.review.wording import many, money_text, value_text
from controller.tools.authoring import CreateTakes, create_blueprint
from controller.tools.mending import Mended, mends
from controller.tools.optimizing import Wish, smaller
from controller.tools.tool import Ground

_NOTHING = "there is nothing to change here"


@dataclass(frozen=True, slots=True)
class Written:
    """One scope as a branch writes it: its blueprints' text, what they want, and what the audit found. `engines`: those
    it has targets of, the first being the default."""

    scope: ScopeConfig
    files: Mapping[str, bytes]
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...] = ()
    engines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """Files as they shall be. `subject`: the commit's first line."""

    files: Mapping[str, bytes]
    subject: str
    told: Told


def draft_optimize(scopes: Sequence[Written], share: Decimal, book: PriceBook) -> Draft:
    """The mildest changes that save `share` of what the scopes cost. Raises InvalidInput where nothing saves."""
    entries = [e for s in scopes for e in s.entries]
    texts = {f: data.decode("utf-8").splitlines(keepends=True) for s in scopes for f, data in s.files.items()}
    found = smaller(entries, texts, Wish(share), book)
    if not found.options:
        raise InvalidInput(found.note or _NOTHING)
    settings = [Setting(o.entry, f"specs.{o.key}", o.value) for o in found.options]
    files, left = _edited(scopes, settings)
    if left:
        raise InvalidInput(f"{left[0].path} of {left[0].entry.id} cannot be changed where it is written")
    before, after = (money_text(m, book.currency) for m in (found.original, found.original - found.saved))
    said = [f"{before} a month becomes {after}: {found.share:.1%} less, {share:.0%} was asked for."]
    said += [] if found.reached else [f"{found.note}."]
    rows = tuple(
        (o.entry.id, o.key, o.before, o.after, money_text(-o.savings, book.currency, signed=True))
        for o in found.options
    )
    told = Told("Made smaller", tuple(said), ("Resource", "Field", "Before", "After", "A month"), rows)
    return Draft(files, f"Save {found.share:.1%} of the monthly cost", told)


def draft_fix(scopes: Sequence[Written]) -> Draft:
    """Every finding with one answer, mended. Raises InvalidInput where there is none."""
    mended: list[Mended] = []
    left: list[Finding] = []
    for one in scopes:
        can, cannot = mends(one.entries, one.findings)
        mended += can
        left += cannot
    files, unplaced = _edited(scopes, list(_once(s for m in mended for s in m.settings)))
    lost = {(s.entry.id, s.path.split(".")[0]) for s in unplaced}
    left += [m.finding for m in mended if _is_lost(m, lost)]
    mended = [m for m in mended if not _is_lost(m, lost)]
    if not mended or not files:
        raise InvalidInput("no finding here has a mend that is the same for everyone", hint="/alma audit lists them")
    rows = tuple(
        (m.finding.rule, m.finding.resource, ", ".join(f"{s.path}: {value_text(s.value)}" for s in m.settings))
        for m in mended
    )
    said = (f"{many(len(mended), 'finding')} mended, {len(left)} left to people.",)
    points = tuple(f"{f.rule} at {f.resource}: {f.fix}" for f in left)
    told = Told("Mended", said, ("Rule", "Resource", "Set"), rows, points)
    return Draft(files, f"Mend {many(len(mended), 'finding')}", told)


def draft_template(one: Written, name: str, given: Mapping[str, str]) -> Draft:
    """A blueprint that names a template. Raises InvalidInput for a wrong name or parameter, or a file that is there."""
    found = template(name)
    values: dict[str, Value] = {}
    for key, text in given.items():
        parameter = found.parameters.get(key)
        try:
            values[key] = parameter.parsed(text) if parameter else text
        except ValueError as error:
            raise InvalidInput(f"{key}: {error}", hint=f"alma templates show {name}") from None
    found.values(values)
    parameters = {"parameters": values} if values else {}
    content = {"name": name, "provider": _engine(one, found.engines), "template": name, **parameters}
    said = (f"{found.about}: {many(found.resources, 'resource')} with its defaults.",)
    return _new_file(one, name, yaml_text(content), f"Add the template {name}", said)


def draft_create(one: Written, words: str, ground: Ground) -> Draft:
    """A blueprint from words, by template. Raises InvalidInput as `draft_template`."""
    if not words:
        raise InvalidInput("say what to create", hint="/alma create a web shop with 3 instances and a database")
    made = create_blueprint(CreateTakes(description=words), ground)
    text = f"provider: {_engine(one, template(made.template).engines)}\n{made.blueprint}"
    money = money_text(made.monthly_cost, made.currency)
    return _new_file(one, made.template, text, f"Add {made.template}", (f"About {money} a month.",), made.assumptions)


def _new_file(
    one: Written, name: str, text: str, subject: str, said: Iterable[str], points: tuple[str, ...] = ()
) -> Draft:
    path = f"{name}.yaml" if one.scope.path == "." else f"{one.scope.path}/{name}.yaml"
    if path in one.files:
        raise InvalidInput(f"{path} is there already", hint="edit it, or remove it first")
    told = Told("Added", (f"New file {path} in scope {one.scope.name}.", *said), points=points)
    return Draft({path: text.encode()}, subject, told)


def _engine(one: Written, able: Sequence[str]) -> str:
    """The first engine of the scope that the template is made for. Raises InvalidInput."""
    found = next((e for e in one.engines if e in able), None)
    if found is None:
        raise InvalidInput(f"it is made for {', '.join(able)}, and scope {one.scope.name} has no such target")
    return found


def _edited(scopes: Sequence[Written], settings: Sequence[Setting]) -> tuple[dict[str, bytes], list[Setting]]:
    files: dict[str, bytes] = {}
    left: list[Setting] = []
    for one in scopes:
        changed, unplaced = edited(one.files, [s for s in settings if s.entry.scope == one.scope.name], one.scope)
        files |= changed
        left += unplaced
    return files, left


def _once(settings: Iterable[Setting]) -> Iterable[Setting]:
    """The first setting of each field."""
    return {(s.entry.id, s.path): s for s in reversed(list(settings))}.values()


def _is_lost(mended: Mended, lost: set[tuple[str, str]]) -> bool:
    return any((s.entry.id, s.path.split(".")[0]) in lost for s in mended.settings)
