"""Does a label selector of Kubernetes match these labels? `matchLabels` with expressions, or a plain map."""

from __future__ import annotations

from collections.abc import Mapping

from controller.blueprint.value import Value
from controller.review.manifest import listed, mapping


def selects(selector: Value, labels: Mapping[str, Value]) -> bool:
    """An empty selector matches everything, a missing one nothing."""
    if not isinstance(selector, Mapping):
        return False
    wanted = mapping(selector.get("matchLabels"))
    expressions = [e for e in listed(selector.get("matchExpressions")) if isinstance(e, Mapping)]
    return plainly(wanted, labels) and all(_holds(e, labels) for e in expressions)


def plainly(wanted: Mapping[str, Value], labels: Mapping[str, Value]) -> bool:
    """Every wanted label is there, as in a Service's selector."""
    return all(str(labels.get(key)) == str(value) for key, value in wanted.items())


def _holds(expression: Mapping[str, Value], labels: Mapping[str, Value]) -> bool:
    key, values = str(expression.get("key")), {str(v) for v in listed(expression.get("values"))}
    match expression.get("operator"):
        case "In":
            return key in labels and str(labels[key]) in values
        case "NotIn":
            return key not in labels or str(labels[key]) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
