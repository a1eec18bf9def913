"""A wish about a branch → the files that meet it, and what to say of them. Nothing is written here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from controller.blueprint.catalog import template
from controller.blueprint.editing import Setting, edited
from controller.blueprint.entry import Entry
from controller.blueprint.names import did_you_mean
from controller.blueprint.repository import ScopeConfig
from controller.blueprint.value import Value
from controller.blueprint.writing import yaml_text
from controller.errors import InvalidInput
from controller.review.cost import cost
from controller.review.finding import Finding
from controller.review.price_book import PriceBook
from controller.review.told import Told
from controller.review.wording import many, money_text, value_text
from controller.tools.asking import focus
from controller.tools.authoring import CreateTakes, create_blueprint
from controller.tools.mending import Mended, mends
from controller.tools.migrating import PROVIDERS, moved
from controller.tools.optimizing import Wish, smaller
from controller.tools.reading import loaded
from controller.tools.tool import Ground

_NOTHING = "there is nothing to change here"
_PARTS = ("specs", "backup", "health", "lifecycle")
_NOT_SET = ("waivers", "tolerate", "adopt", "formerly", "name", "type", "provider", "target", "metadata")


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
    points = tuple(f"Left to people: {f.rule} at {f.resource}: {f.fix}" for f in left)
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


def draft_set(scopes: Sequence[Written], name: str, values: Mapping[str, str]) -> Draft:
    """Fields of one resource as they shall be, of `specs` where no other part is named. Raises InvalidInput for a
    resource that is not there, a part that is no one's to set so, or a value that stands there already."""
    entry = focus(name, [e for s in scopes for e in s.entries], (), ())
    settings = [Setting(entry, _path(key), _value(text)) for key, text in values.items()]
    same = [s.path for s in settings if str(entry.specs.get(s.path.removeprefix("specs."))) == str(s.value)]
    if same:
        raise InvalidInput(f"{same[0]} of {entry.id} is so already")
    files, left = _edited(scopes, settings)
    if left or not files:
        raise InvalidInput(f"{', '.join(values) or _NOTHING} cannot be set where {entry.id} is written", hint="edit it")
    rows = tuple(
        (entry.id, s.path, value_text(entry.specs.get(s.path.removeprefix("specs."))), value_text(s.value))
        for s in settings
    )
    told = Told("Set", (), ("Resource", "Field", "Before", "After"), rows)
    return Draft(files, f"Set {', '.join(s.path for s in settings)} of {entry.id}", told)


def _path(key: str) -> str:
    part, _, rest = key.partition(".")
    if part in _PARTS and rest:
        return key
    if part in _NOT_SET:
        raise InvalidInput(f"{part} is written by hand", hint="edit the blueprint")
    return f"specs.{key}"


def _value(text: str) -> Value:
    return {"true": True, "false": False}.get(text, int(text) if text.isdigit() and len(text) < 10 else text)


def draft_move(scopes: Sequence[Written], to: str, book: PriceBook, *, beside: bool) -> Draft:
    """Every blueprint for another engine: in the place of the old one, or `beside` it under a name of its own. Raises
    InvalidInput for an engine that is not known or that a scope has no target of."""
    if to not in PROVIDERS:
        raise InvalidInput(
            f"no engine is called {to}{did_you_mean(to, PROVIDERS)}", hint=f"known: {', '.join(PROVIDERS)}"
        )
    files: dict[str, bytes] = {}
    points: list[str] = []
    before = after = Decimal(0)
    for one in scopes:
        _engine(one, [to])
        for file, entries in _by_file(one).items():
            name = f"{entries[0].blueprint}-{to}" if beside else entries[0].blueprint
            made = moved(name, entries, to)
            path = f"{file.rpartition('.')[0]}-{to}.yaml" if beside else file
            if path in one.files and beside:
                raise InvalidInput(f"{path} is there already", hint="edit it, or remove it first")
            files[path] = made.blueprint.encode()
            points += [f"{u.resource}: {u.field} is left out: {u.why}" for u in made.unmapped]
            before += cost(book, None, entries).total_after
            after += cost(book, None, loaded(made.blueprint).entries).total_after
    if not files:
        raise InvalidInput(_NOTHING)
    sides = [money_text(m, book.currency) for m in (before, after)]
    word = "beside the old ones" if beside else "in place of the old ones; what ran there is destroyed by the merge"
    said = (f"{many(len(files), 'blueprint')} for {to}, {word}.", f"{sides[0]} a month there, {sides[1]} on {to}.")
    subject = f"{'Translate' if beside else 'Migrate'} {', '.join(s.scope.name for s in scopes)} to {to}"
    return Draft(files, subject, Told("Translated" if beside else "Migrated", said, points=tuple(points)))


def _by_file(one: Written) -> Mapping[str, tuple[Entry, ...]]:
    """Blueprint file → its entries, in their order."""
    found: dict[str, list[Entry]] = {}
    for entry in sorted(one.entries, key=lambda e: e.index):
        found.setdefault(entry.place.file, []).append(entry)
    return {file: tuple(entries) for file, entries in found.items()}


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
