"""The order of a run as a Mermaid graph: bounded in size, labels of harmless characters only."""

from __future__ import annotations

from collections.abc import Sequence

from controller.plan.change import Change, Plan
from controller.plan.step import Action
from controller.review.inert import Markdown, fenced, label

NODES_MAX = 40
EDGES_MAX = 120

_STYLE = {
    Action.CREATE: "stroke:#1a7f37",
    Action.UPDATE: "stroke:#9a6700",
    Action.RECREATE: "stroke:#cf222e,stroke-width:3px",
    Action.DESTROY: "stroke:#cf222e,stroke-dasharray:4",
    Action.ADOPT: "stroke:#0969da",
    Action.FORGET: "stroke:#6e7781",
}


def order_graph(plans: Sequence[Plan]) -> Markdown | None:
    """One box per wave, one node per changed resource, one arrow per dependency between two of them. None where order
    says nothing (fewer than two changes); beyond `NODES_MAX` resources the nodes are blueprints."""
    changes = [c for p in plans for c in p.changes]
    if len(changes) < 2:
        return None
    nodes = _nodes(changes, by_blueprint=False)
    if len(nodes) > NODES_MAX:
        nodes = _nodes(changes, by_blueprint=True)
    shown = dict(list(nodes.items())[:NODES_MAX])
    lines = ["graph LR", *_boxes(shown), *_arrows(plans, shown)]
    used = {_action(c) for _, c in shown.values()}
    lines += [f"  classDef {a.value} {style}" for a, style in _STYLE.items() if a in used]
    if len(nodes) > len(shown):
        lines.append(f'  more["and {len(nodes) - len(shown)} more"]')
    return fenced(lines, "mermaid")


_Nodes = dict[tuple[int, str, str], tuple[str, list[Change]]]  # (wave, scope, name) → node id, its changes


def _nodes(changes: Sequence[Change], *, by_blueprint: bool) -> _Nodes:
    nodes: _Nodes = {}
    for change in changes:
        r = change.effect.resource
        key = (change.wave, r.scope, f"{r.scope}/{r.blueprint}" if by_blueprint else str(r))
        nodes.setdefault(key, (f"n{len(nodes)}", []))[1].append(change)
    return nodes


def _boxes(nodes: _Nodes) -> list[str]:
    lines: list[str] = []
    boxes = sorted({(scope, wave) for wave, scope, _ in nodes})
    for number, (scope, wave) in enumerate(boxes):
        lines.append(f'  subgraph w{number}["{label(scope)} wave {wave}"]')
        lines += [
            f'    {node}["{_title(name, changes)}"]:::{_action(changes).value}'
            for (at, of, name), (node, changes) in nodes.items()
            if (of, at) == (scope, wave)
        ]
        lines.append("  end")
    lines += [f"  w{n} --> w{n + 1}" for n in range(len(boxes) - 1) if boxes[n][0] == boxes[n + 1][0]]
    return lines


def _title(name: str, changes: Sequence[Change]) -> str:
    many = f" {len(changes)} changes" if len(changes) > 1 else ""
    return f"{_action(changes).value} {label(name)}{many}"


def _action(changes: Sequence[Change]) -> Action:
    return changes[0].effect.action


def _arrows(plans: Sequence[Plan], nodes: _Nodes) -> list[str]:
    ids = {name: node for (_, _, name), (node, _) in nodes.items()}
    found = [
        f"  {ids[needed]} --> {ids[who]}"
        for plan in plans
        for who, needs in plan.edges.items()
        for needed in needs
        if who in ids and needed in ids
    ]
    return found[:EDGES_MAX]
