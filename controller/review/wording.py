"""How values, sums, counts and durations read, in every text for people. Secrets never get past here (I26)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

from controller.blueprint.value import Output, Secret, Text, Value
from controller.plan.diff import holds_secret
from controller.plan.resource import Masked
from controller.plan.step import Action, FieldChange
from controller.review.inert import visible
from controller.review.secret_scan import looks_secret

SECRET = "(secret)"  # noqa: S105 - the word that stands in a secret's place
UNSET = "(unset)"
SYMBOLS: Mapping[Action, str] = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.RECREATE: "-/+",
    Action.DESTROY: "-",
    Action.ADOPT: "<=",
    Action.FORGET: "/",
}


def is_sensitive(change: FieldChange) -> bool:
    """True if a side of it is, or looks like, a secret: then neither side is shown anywhere."""
    sides = (change.before, change.after)
    return change.sensitive or any(holds_secret(side) or looks_secret(change.path, side) for side in sides)


def plain(value: Value) -> Value:
    """`value` as JSON for people and programs: markers as the text a blueprint writes, secrets as `(secret)`,
    decimals as exact text."""
    if isinstance(value, Secret | Masked):
        return SECRET
    if isinstance(value, Output):
        return f"${{{value.resource}.outputs.{value.key}}}"
    if isinstance(value, Text):
        return "".join(p if isinstance(p, str) else str(plain(p)) for p in value.parts)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, Decimal) else value


def value_text(value: Value, limit: int = 200) -> str:
    """One value on one line: text in quotes, `(unset)` for none."""
    if value is None:
        return UNSET
    return visible(json.dumps(plain(value), ensure_ascii=False, default=str), limit)


def field_sides(change: FieldChange, limit: int = 200) -> tuple[str, str]:
    """Before and after as they are shown; `(secret)` where a value is one."""
    if is_sensitive(change):
        sides = (change.before, change.after)
        before, after = (UNSET if s is None else SECRET for s in sides)
        return before, after
    return value_text(change.before, limit), value_text(change.after, limit)


def seconds_text(seconds: float) -> str:
    """`0.3 s`, `12 s`, `3 min 5 s`, `2 h 4 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def money_text(amount: Decimal, currency: str, *, signed: bool = False) -> str:
    """`4.20 EUR`, with `signed` `+4.20 EUR`, `−4.20 EUR` and `±0 EUR`."""
    rounded = amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
    if signed and not rounded:
        return f"±0 {currency}"
    sign = "−" if rounded < 0 else "+" if signed else ""
    return f"{sign}{abs(rounded):,.2f} {currency}"


def many(count: int, one: str, more: str = "") -> str:
    """`1 finding`, `2 findings`, `1,200 changes`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
