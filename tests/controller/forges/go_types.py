"""GitLab's own client as a judge. Its Go source names every path of the API, what each takes and what it answers.

Read as text: structs with their JSON names, and functions that say method, path, options and result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r'^\s*(?:\w+)\s+([^\s`]+)\s+`[^`]*json:"([\w.]+)[^`]*`')
_UNTAGGED = re.compile(r"^\s*([A-Z]\w*)\s+(\S+)$")
_EMBEDDED = re.compile(r"^\s*(\*?\w+)(?:\s+`[^`]*`)?\s*$")
_ALIAS = re.compile(r"^type (\w+) (=? ?[\w.\[\]*]+)$", re.MULTILINE)
_FUNCTION = re.compile(r"^func \(\w+ \*?\w+\) \w+\((.*?)\) \(?(.*?)\)? \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_OPTIONS = re.compile(r"\bopts? \*?(\w+)")
_RESULT = re.compile(r"do\[([^\]]*?\*?\w+)\]\(")
_PATH = re.compile(r'withPath\(\s*"([^"]+)"')
_METHOD = re.compile(r"withMethod\(http\.Method(\w+)\)")
_NUMBERS = frozenset({"int", "int64", "uint", "float64"})
_DEPTH_MOST = 12
# Fields of the server that this client does not read; source: GitLab's lib/api/entities/approvals.rb.
_BESIDE: Mapping[str, Mapping[str, str]] = {"MergeRequestApproverUser": {"approved_at": "*time.Time"}}

Structs = dict[str, dict[str, str]]


class Undescribed(AssertionError):
    """A request or an answer that the client does not know."""


@dataclass
class Operation:
    """One function of the client."""

    name: str
    path: re.Pattern[str]
    options: set[str] = field(default_factory=set)
    result: str = ""


class GoClient:
    """Everything in the Go files of one folder."""

    def __init__(self, folder: Path) -> None:
        sources = [file.read_text() for file in sorted(folder.glob("*.go")) if not file.name.endswith("_test.go")]
        text = "\n".join(sources)
        self._raw: dict[str, str] = dict(_STRUCT.findall(text))
        self._aliases = {name: to.lstrip("= ").lstrip("*") for name, to in _ALIAS.findall(text)}
        self._structs: Structs = {}
        self._operations = list(self._found(text))

    def check_request(self, request: httpx2.Request, path: str) -> Operation:
        """The operation whose parameters cover the request. Raises Undescribed."""
        given = set(parse_qs(urlsplit(str(request.url)).query))
        body: dict[str, Any] = json.loads(request.content) if request.content else {}
        same = [o for o in self._operations if o.name.startswith(f"{request.method} ") and o.path.fullmatch(path)]
        if not same:
            raise Undescribed(f"{request.method} {path}: the client has no such call")
        for operation in same:
            fields = {key: kind for name in operation.options for key, kind in self.struct(name).items()}
            paging = {"page", "per_page", "order_by", "sort"} if request.method == "GET" else set[str]()
            unknown = (given | set(body)) - set(fields) - paging
            wrong = [w for key in body if key in fields for w in self.wrong(body[key], fields[key], f"$.{key}")]
            if not unknown and not wrong:
                return operation
        raise Undescribed(f"{request.method} {path}: {sorted(unknown)} {wrong}")

    def check_answer(self, operation: Operation, answer: httpx2.Response) -> None:
        """Raises Undescribed for a field that the client's type has not, or has with another type."""
        if answer.status_code not in (200, 201) or not operation.result:
            return
        wrong = self.wrong(answer.json(), operation.result, "$")
        if wrong:
            raise Undescribed(f"{operation.name}: {'; '.join(wrong[:5])}")

    def wrong(self, value: object, kind: str, at: str, depth: int = 0) -> list[str]:
        """What in `value` is not of the Go type `kind`."""
        if value is None or depth > _DEPTH_MOST:
            return []
        if kind.startswith("[]"):
            if not isinstance(value, list):
                return [f"{at} is not a list"]
            return [w for i, item in enumerate(value) for w in self.wrong(item, kind[2:], f"{at}[{i}]", depth + 1)]
        bare = kind.lstrip("*")
        if bare in self._raw:
            return self._wrong_struct(value, bare, at, depth)
        if bare in self._aliases and bare not in ("string", "bool"):
            return self.wrong(value, self._aliases[bare], at, depth + 1)
        expected: Mapping[str, type] = {"string": str, "bool": bool, "time.Time": str, "ISOTime": str}
        if bare in _NUMBERS:
            return [] if isinstance(value, int | float) and not isinstance(value, bool) else [f"{at} is no number"]
        return [] if isinstance(value, expected.get(bare, object)) else [f"{at} is not of the type {bare}"]

    def struct(self, name: str) -> dict[str, str]:
        """JSON name → Go type, with those of embedded structs."""
        if name not in self._structs:
            found = dict(_BESIDE.get(name, {}))
            for line in self._raw.get(name, "").splitlines():
                named, embedded, plain = _FIELD.match(line), _EMBEDDED.match(line), _UNTAGGED.match(line)
                if named:
                    found[named[2]] = named[1]
                elif plain:
                    found[plain[1].lower()] = plain[2]
                elif embedded and embedded[1].lstrip("*") in self._raw:
                    found.update(self.struct(embedded[1].lstrip("*")))
            self._structs[name] = found
        return self._structs[name]

    def _wrong_struct(self, value: object, name: str, at: str, depth: int) -> list[str]:
        if not isinstance(value, dict):
            return [f"{at} is no {name}"]
        fields = self.struct(name)
        unknown = [f"{at}.{key} is no field of {name}" for key in value if key not in fields]
        known = [(key, inner) for key, inner in value.items() if key in fields]
        return [
            *unknown,
            *(w for key, inner in known for w in self.wrong(inner, fields[key], f"{at}.{key}", depth + 1)),
        ]

    def _found(self, text: str) -> Iterator[Operation]:
        for arguments, _, body in _FUNCTION.findall(text):
            path = _PATH.search(body)
            if not path:
                continue
            method = _METHOD.search(body)
            result = _RESULT.search(body)
            pattern = re.compile("/" + re.sub(r"%[sdv]", "[^/]+", re.escape(path[1]).replace("%", "%")))
            name = f"{method[1].upper() if method else 'GET'} /{path[1]}"
            yield Operation(name, pattern, set(_OPTIONS.findall(arguments)), result[1] if result else "")


@lru_cache(maxsize=1)
def gitlab_client(folder: Path) -> GoClient:
    """Read once."""
    return GoClient(folder)
