"""How the forges cut their lists into pages, and how they tell that one is the last."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NEXT = re.compile(r';\s*rel="?next"?')


@dataclass(frozen=True, slots=True)
class Paging:
    """`size_key`: the parameter that asks for the size of a page. `by_links`: every page but the last has a header
    `Link` with `rel="next"` (GitHub, GitLab); only its presence is read, so that no answer sends us elsewhere (I43)."""

    size_key: str = "limit"
    by_links: bool = False

    def is_last(self, headers: Mapping[str, str]) -> bool:
        """Whether nothing comes after the page with these headers. False where the forge does not say."""
        return self.by_links and not _NEXT.search(headers.get("link", ""))


def stated_total(headers: Mapping[str, str]) -> int | None:
    """How many items the whole list has, where the forge states it (GitLab: only below 10,000)."""
    text = headers.get("x-total-count", headers.get("x-total", ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
