"""The plan inside a comment: destroys and recreates first and by name, the rest folded per blueprint, and a count of
whatever did not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from controller.blueprint.entry import Disruption
from controller.plan.change import Change, Plan
from controller.plan.step import Action
from controller.review.inert import Markdown, code, fenced, summary, visible
from controller.review.plan_text import columns
from controller.review.report import counts_text
from controller.review.wording import SYMBOLS, field_sides, many

FIELDS_MAX = 30  # of one change
HIDDEN_ROWS_MAX = 25  # blueprints listed by name among what did not fit
_OVERHEAD = 160  # a fence with its fold and title
_HIDDEN_ROOM = 3_000


@dataclass(frozen=True, slots=True)
class PlanSection:
    """`listed`: the changes a reader sees by name, so the only ones a merge may clear (I2); `bare` of them are shown
    without their fields."""

    text: Markdown
    listed: tuple[Change, ...]
    hidden: tuple[Change, ...]
    bare: int = 0


@dataclass(frozen=True, slots=True)
class _Item:
    change: Change
    group: str  # "" for what destroys, else `scope/blueprint`
    header: str
    details: tuple[str, ...]


def plan_section(plans: Sequence[Plan], room: int) -> PlanSection:
    """The changes of all plans in at most about `room` characters."""
    items = _items(plans)
    listed = _fitting(items, room)
    left = room - sum(_size(i.header) for i in listed) - _OVERHEAD * len({i.group for i in listed})
    whole = _detailed(listed, left - _HIDDEN_ROOM if len(listed) < len(items) else left)
    shown = [i if n < whole else replace(i, details=()) for n, i in enumerate(listed)]
    hidden = tuple(i.change for i in items[len(listed) :])
    blocks = [_block(group, [i for i in shown if i.group == group]) for group in dict.fromkeys(i.group for i in shown)]
    return PlanSection(
        text=Markdown("\n\n".join([*blocks, *_counted(hidden)])),
        listed=tuple(i.change for i in listed),
        hidden=hidden,
        bare=sum(1 for i in listed[whole:] if i.details),
    )


def severe(change: Change) -> bool:
    """Shown first, by name and unfolded: something goes, or comes back as another."""
    e = change.effect
    return e.action in (Action.DESTROY, Action.RECREATE) or e.disruption in (Disruption.RECREATE, Disruption.DATA_LOSS)


def _items(plans: Sequence[Plan]) -> list[_Item]:
    groups: dict[str, list[Change]] = {"": []}
    for plan in plans:
        for change in plan.changes:
            key = "" if severe(change) else _blueprint(change)
            groups.setdefault(key, []).append(change)
    return [
        _Item(change, group, f"{_mark(change)} {header}", tuple(_details(change)))
        for group, changes in groups.items()
        for change, header in zip(changes, columns(changes), strict=True)
    ]


def _blueprint(change: Change) -> str:
    return f"{change.effect.resource.scope}/{change.effect.resource.blueprint}"


def _mark(change: Change) -> str:
    """The first character colours a line of a `diff` block: green, red, or `!` where the forge knows it."""
    symbol = SYMBOLS[change.effect.action]
    return symbol if symbol[0] in "+-" else f"! {symbol}" if symbol != "~" else "!"


def _details(change: Change) -> Iterable[str]:
    e = change.effect
    width = min(max((len(visible(f.path)) for f in e.fields), default=0), 60)
    for field in e.fields[:FIELDS_MAX]:
        before, after = field_sides(field)
        path = visible(field.path).ljust(width)
        if field.before is not None or e.action is not Action.CREATE:
            yield f"-     {path}  {before}"
        yield f"+     {path}  {after}"
    if len(e.fields) > FIELDS_MAX:
        yield f"      … and {len(e.fields) - FIELDS_MAX} more fields"
    if e.reason:
        yield f"      because  {visible(e.reason)}"
    yield from (f"-     lost  {visible(lost)}" for lost in e.lost)


def _size(line: str) -> int:
    return len(line) + 1


def _fitting(items: Sequence[_Item], room: int) -> list[_Item]:
    """As many headers as fit, in order; if not all do, room is kept for the count of the rest."""
    if sum(_size(i.header) for i in items) + _OVERHEAD * len({i.group for i in items}) <= room:
        return list(items)
    left, seen, listed = room - _HIDDEN_ROOM, set[str](), list[_Item]()
    for item in items:
        left -= _size(item.header) + (0 if item.group in seen else _OVERHEAD)
        if left < 0:
            break
        seen.add(item.group)
        listed.append(item)
    return listed


def _detailed(listed: Sequence[_Item], room: int) -> int:
    """How many of them, from the first on, can be shown with their fields."""
    for n, item in enumerate(listed):
        room -= sum(_size(line) for line in item.details)
        if room < 0:
            return n
    return len(listed)


def _block(group: str, items: Sequence[_Item]) -> str:
    diff = fenced((line for i in items for line in (i.header, *i.details)), "diff")
    if not group:
        return f"**Goes or is made anew: {many(len(items), 'change')}**\n\n{diff}"
    counts = Counter(i.change.effect.action for i in items)
    title = f"{summary(group)} · {counts_text({a: counts[a] for a in Action})}"
    return f"<details><summary>{title}</summary>\n\n{diff}\n\n</details>"


def _counted(hidden: Sequence[Change]) -> list[str]:
    """What did not fit, counted per blueprint."""
    if not hidden:
        return []
    per: dict[str, Counter[Action]] = {}
    for change in hidden:
        per.setdefault(_blueprint(change), Counter())[change.effect.action] += 1
    rows = [f"- {code(name)}: {counts_text({a: n[a] for a in Action})}" for name, n in per.items()]
    more = len(rows) - HIDDEN_ROWS_MAX
    rows = rows[:HIDDEN_ROWS_MAX] + ([f"- … and {more:,} more"] if more > 0 else [])
    return [f"**Not shown: {many(len(hidden), 'change')}**\n\n" + "\n".join(rows)]
