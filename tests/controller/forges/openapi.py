"""GitHub's OpenAPI document as a judge: every request must be one that it describes, every answer too.

An answer of ours leaves out what nothing has a state for; before it is judged, fields that the document requires and
we left out are filled with the least value of their type. So what our server does say is judged whole, and our client
meets the fields of a real answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

Json = dict[str, Any]
_DEPTH_MOST = 40
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


class Undescribed(AssertionError):
    """A request or an answer that is not in the document."""


class OpenApi:
    """One document of OpenAPI 3.0."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._paths = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "/?"), path, operations)
            for path, operations in document["paths"].items()
        ]

    def operation(self, method: str, path: str) -> tuple[str, Json]:
        """`METHOD /template` and what it holds. A template without parameters there goes before one with."""
        found = [
            (template.count("{"), template, operations)
            for pattern, template, operations in self._paths
            if pattern.fullmatch(path) and method.lower() in operations
        ]
        if not found:
            raise Undescribed(f"{method} {path}: there is no such operation")
        _, template, operations = min(found, key=lambda one: one[0])
        return f"{method} {template}", operations[method.lower()]

    def check_request(self, request: httpx2.Request, path: str) -> str:
        """The operation's name. Raises Undescribed."""
        name, operation = self.operation(request.method, path)
        known = {self.resolved(p)["name"] for p in operation.get("parameters", ())}
        unknown = set(parse_qs(urlsplit(str(request.url)).query)) - known
        if unknown:
            raise Undescribed(f"{name}: it takes no parameter {sorted(unknown)}")
        if request.content:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            self._raise(name, self.wrong(json.loads(request.content), schema, closed=True))
        return name

    def completed(self, name: str, answer: httpx2.Response) -> httpx2.Response:
        """The answer with what it must have besides. Raises Undescribed."""
        method, _, template = name.partition(" ")
        responses = self._document["paths"][template][method.lower()]["responses"]
        if answer.status_code == 304:
            return answer
        described = responses.get(str(answer.status_code))
        if described is None:
            raise Undescribed(f"{name}: it does not answer {answer.status_code}, only {sorted(responses)}")
        media = self.resolved(described).get("content", {}).get("application/json")
        if media is None or not answer.content:
            return answer
        body = self.filled(answer.json(), media["schema"])
        self._raise(name, self.wrong(body, media["schema"]))
        headers = {key: value for key, value in answer.headers.items() if key.lower() != "content-length"}
        return httpx2.Response(answer.status_code, json=body, headers=headers)

    def wrong(self, value: object, schema: Json, at: str = "$", *, closed: bool = False) -> list[str]:
        """What is not as the schema says. `closed`: properties that it does not name are wrong too."""
        schema = self.resolved(schema)
        if value is None and (schema.get("nullable") or _is_anything(schema)):
            return []
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                tried = [self.wrong(value, one, at, closed=closed) for one in schema[choice]]
                return [] if any(not found for found in tried) else min(tried, key=len)
        found = [w for one in schema.get("allOf", ()) for w in self.wrong(value, one, at)]
        kinds = _TYPES.get(schema.get("type", ""))
        if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            return [*found, f"{at} is not of the type {schema['type']}"]
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{at} is none of {schema['enum']}")
        if isinstance(value, dict):
            found += self._wrong_object(value, schema, at, closed)
        if isinstance(value, list):
            for index, item in enumerate(value):
                found += self.wrong(item, schema.get("items", {}), f"{at}[{index}]", closed=closed)
        return found

    def filled(self, value: object, schema: Json) -> Any:
        """With the properties that are required and missing."""
        schema = self.resolved(schema)
        if isinstance(value, list):
            return [self.filled(item, schema.get("items", {})) for item in value]
        if not isinstance(value, dict):
            return value
        if "anyOf" in schema or "oneOf" in schema:
            choices = [self.filled(value, one) for one in schema.get("anyOf") or schema["oneOf"]]
            return next((c for c in choices if not self.wrong(c, schema)), value)
        properties = self._properties(schema)
        least = {key: self.least(properties[key]) for key in self._required(schema) if key not in value}
        return {**least, **{key: self.filled(inner, properties.get(key, {})) for key, inner in value.items()}}

    def least(self, schema: Json, depth: int = 0) -> Any:
        """The smallest value it allows."""
        schema = self.resolved(schema)
        if schema.get("nullable") or depth > _DEPTH_MOST:
            return None
        if "enum" in schema:
            return schema["enum"][0]
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return self.least(schema[choice][0], depth + 1)
        if schema.get("type") == "object" or "allOf" in schema or "properties" in schema:
            properties = self._properties(schema)
            return {key: self.least(properties[key], depth + 1) for key in self._required(schema)}
        small: dict[str, Callable[[], object]] = {"string": str, "integer": int, "number": int, "boolean": bool}
        return small.get(schema.get("type", ""), list)()

    def resolved(self, schema: Json) -> Json:
        while "$ref" in schema:
            found: Any = self._document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            schema = found
        return schema

    def webhook(self, name: str) -> Json:
        """The schema of a delivery: `pull-request-opened`."""
        post = self._document["x-webhooks"][name]["post"]
        schema: Json = post["requestBody"]["content"]["application/json"]["schema"]
        return schema

    def _wrong_object(self, value: Json, schema: Json, at: str, closed: bool) -> Iterator[str]:
        properties = self._properties(schema)
        yield from (f"{at}.{key} is missing" for key in self._required(schema) if key not in value)
        for key, inner in value.items():
            if key in properties:
                yield from self.wrong(inner, properties[key], f"{at}.{key}", closed=closed)
            elif closed and schema.get("additionalProperties") is not True:
                yield f"{at}.{key} is not described"

    def _properties(self, schema: Json) -> Json:
        inherited = [self._properties(self.resolved(one)) for one in schema.get("allOf", ())]
        return {key: value for one in (*inherited, schema.get("properties", {})) for key, value in one.items()}

    def _required(self, schema: Json) -> set[str]:
        inherited = [self._required(self.resolved(one)) for one in schema.get("allOf", ())]
        return set(schema.get("required", ())).union(*inherited)

    def _raise(self, name: str, wrong: list[str]) -> None:
        if wrong:
            raise Undescribed(f"{name}: {'; '.join(wrong[:5])}")


@lru_cache(maxsize=1)
def github_api(folder: Path) -> OpenApi:
    """Half a second of reading, once."""
    return OpenApi(json.loads((folder / "generated" / "api.github.com.json").read_bytes()))


def _is_anything(schema: Json) -> bool:
    return not set(schema) - {"description", "title"}
