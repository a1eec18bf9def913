"""Property strings (`key=value,key=value`) and single values, checked in the order and with the texts of the API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from tests.proxmox.named_formats import scalar_error
from tests.proxmox.schema import JsonObject, formats_data, indexed, load_schema

Errors = dict[str, str]

_TRUE = ("1", "on", "yes", "true")
_FALSE = ("0", "off", "no", "false")
_NUMBER = re.compile(r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$")
_INTEGER = re.compile(r"^[+-]?\d+$")

UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"


class FormatError(Exception):
    """A value that is not of its format; the text is the one of the API, with its newline."""


def add_error(errors: Errors, path: str, text: str) -> None:
    """Adds one fault; several of one parameter are joined with a literal backslash-n, as the API does."""
    errors[path] = f"{errors[path]}\\n{text}" if path in errors else text


def boolean_text(text: str) -> str:
    """`1` or `0` for the words of a property string, anything else unchanged."""
    lower = text.lower()
    return "1" if lower in _TRUE else "0" if lower in _FALSE else text


def property_format(schema: Mapping[str, Any]) -> JsonObject | None:
    """The sub-keys of a parameter that is a property string, or None."""
    wanted = schema.get("format")
    if isinstance(wanted, dict):
        return wanted
    return _named(wanted) if isinstance(wanted, str) else None


@cache
def _named(name: str) -> JsonObject | None:
    found: JsonObject | None = formats_data()["property_string"].get(name)
    if found is not None and "_same_as" in found:
        # The release does not matter here: only rare geometry keys of drives differ.
        ide: JsonObject = load_schema("9.1").method("POST", "/nodes/{node}/qemu").properties["ide[n]"]["format"]
        return ide
    return found


def parse(sub_keys: Mapping[str, JsonObject], text: str, path: str = "") -> dict[str, str]:
    """The values of a property string by their real names. Raises FormatError."""
    values = _split(sub_keys, text)
    errors: Errors = {}
    check_object(values, sub_keys, errors, path, refuse_unknown=True)
    if errors:
        lines = "".join(f"{key}: {error}\n" for key, error in errors.items())
        raise FormatError(f"format error\n{lines}")
    return values


def _split(sub_keys: Mapping[str, JsonObject], text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if equals and (not key or not value):
            raise FormatError("missing key in comma-separated list property\n")
        if not equals:
            key, value = _default_key(sub_keys), part
        _put(sub_keys, values, key, value)
    return values


def _put(sub_keys: Mapping[str, JsonObject], values: dict[str, str], key: str, value: str) -> None:
    if key in values:
        raise FormatError(f"duplicate key in comma-separated list property: {key}\n")
    schema = sub_keys.get(key, {})
    if "keyAlias" in schema:
        if schema["keyAlias"] in values:
            raise FormatError(f"key alias '{schema['keyAlias']}' is already defined\n")
        values[schema["keyAlias"]] = key
    if "alias" in schema:
        key = schema["alias"]
        schema = sub_keys[key]
    values[key] = boolean_text(value) if schema.get("type") == "boolean" else value


def _default_key(sub_keys: Mapping[str, JsonObject]) -> str:
    for key, schema in sub_keys.items():
        if schema.get("default_key"):
            return key
    raise FormatError("value without key, but schema does not define a default key\n")


def check_object(
    values: Mapping[str, Any],
    properties: Mapping[str, JsonObject],
    errors: Errors,
    path: str = "",
    *,
    refuse_unknown: bool,
) -> None:
    """Adds to `errors` what is wrong with `values`: missing, unknown, dependent and malformed ones."""
    prefix = f"{path}." if path else ""
    for key, schema in properties.items():
        if key not in values and not key.endswith("[n]") and "alias" not in schema and not _optional(schema):
            add_error(errors, prefix + key, MISSING)
    for key, value in values.items():
        found = indexed(properties, key)
        if found is None:
            if refuse_unknown:
                add_error(errors, prefix + key, UNKNOWN)
            continue
        check_value(found, value, prefix + key, errors)
        required = found.get("requires")
        if isinstance(required, str) and required not in values:
            add_error(errors, prefix + required, f"missing property required by '{prefix}{key}'")


def _optional(schema: Mapping[str, Any]) -> bool:
    return str(schema.get("optional", 0)) == "1"


def check_value(schema: Mapping[str, Any], value: Any, path: str, errors: Errors) -> None:
    """Adds the first fault of one value: type, format, pattern, lengths, limits, enumeration, in this order."""
    kind = schema.get("type", "any")
    if kind == "array":
        for item in value if isinstance(value, list) else [value]:
            check_value(schema.get("items", {}), item, path, errors)
        return
    if kind == "object":
        return
    if isinstance(value, list) or not _of_type(kind, value):
        got = "ARRAY" if isinstance(value, list) else f"'{value}'"
        add_error(errors, path, f"type check ('{kind}') failed - got {got}")
        return
    error = _format_fault(schema, value, path) or _limit_fault(schema, value)
    if error is not None:
        add_error(errors, path, error)


def _of_type(kind: str, value: str) -> bool:
    if kind == "integer":
        return _INTEGER.search(value) is not None
    if kind == "number":
        return _NUMBER.search(value) is not None
    if kind == "boolean":
        return value in ("0", "1")
    return True


def _format_fault(schema: Mapping[str, Any], value: str, path: str) -> str | None:
    name = schema.get("format")
    if name is None:
        return None
    sub_keys = property_format(schema)
    if sub_keys is None:
        error = scalar_error(str(name), value)
        return None if error is None else f"invalid format - {error}\n"
    try:
        parse(sub_keys, value, path)
    except FormatError as fault:
        return f"invalid format - {fault}"
    return None


def _limit_fault(schema: Mapping[str, Any], value: str) -> str | None:
    pattern = schema.get("pattern")
    if pattern is not None and not perl_pattern(pattern).search(value):
        return "value does not match the regex pattern"
    if "maxLength" in schema and len(value) > int(schema["maxLength"]):
        return f"value may only be {schema['maxLength']} characters long"
    if "minLength" in schema and len(value) < int(schema["minLength"]):
        return f"value must be at least {schema['minLength']} characters long"
    if _NUMBER.search(value):
        if "maximum" in schema and float(value) > float(schema["maximum"]):
            return f"value must have a maximum value of {schema['maximum']}"
        if "minimum" in schema and float(value) < float(schema["minimum"]):
            return f"value must have a minimum value of {schema['minimum']}"
    allowed = schema.get("enum")
    if allowed is not None and value not in allowed:
        return f"value '{value}' does not have a value in the enumeration '{', '.join(allowed)}'"
    return None


@cache
def perl_pattern(pattern: str) -> re.Pattern[str]:
    """A Perl pattern of the schema, anchored as the API does it (an alternative binds as written)."""
    return re.compile("^" + pattern.replace("(?^:", "(?:").replace("(?^i:", "(?i:") + "$")
