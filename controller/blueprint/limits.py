"""How much a blueprint, and all blueprints of one scope, may hold (I33). Server settings; a blueprint cannot raise
them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """`nodes` and `scope_nodes` count what aliases and merges expand to; `problems` bounds how many mistakes one file
    reports."""

    file_bytes: int = 1 << 20
    depth: int = 64
    nodes: int = 100_000
    aliases: int = 100
    anchors: int = 1_000
    problems: int = 100
    scope_nodes: int = 1_000_000
    scope_files: int = 5_000
    scope_bytes: int = 10 << 20
    resources: int = 10_000
    edges: int = 50_000


DEFAULT_LIMITS = Limits()
