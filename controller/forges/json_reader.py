"""Reading JSON that others wrote: every step names what it expects, and says where it did not find it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

NUMBER_MAX = 2**53
TEXT_CHARS_MAX = 2**24

Fault = Callable[[str], Exception]


class Json:
    """A value in a JSON document and its path. A missing key is a value of its own kind: read as anything, it raises
    what `fault` makes of the place (never of the value): a later try for an answer, a refusal for a webhook."""

    __slots__ = ("_fault", "_value", "path")

    def __init__(self, value: object, fault: Fault, path: str = "$") -> None:
        self._value = value
        self._fault = fault
        self.path = path

    def __getitem__(self, key: str) -> Json:
        inner = self._value.get(key) if isinstance(self._value, dict) else None
        return Json(inner, self._fault, f"{self.path}.{key}")

    def __iter__(self) -> Iterator[Json]:
        if not isinstance(self._value, list):
            raise self.wrong("is not a list")
        return iter([Json(item, self._fault, f"{self.path}[{i}]") for i, item in enumerate(self._value)])

    @property
    def present(self) -> bool:
        """Neither missing nor null."""
        return self._value is not None

    def wrong(self, what: str) -> Exception:
        """The error to raise when this value `what`."""
        return self._fault(f"{self.path} {what}")

    def object(self) -> Json:
        """Itself, if it is an object."""
        if not isinstance(self._value, dict):
            raise self.wrong("is not an object")
        return self

    def items(self) -> tuple[tuple[str, Json], ...]:
        """Of an object."""
        if not isinstance(self._value, dict):
            raise self.wrong("is not an object")
        return tuple((key, self[key]) for key in self._value)

    def text(self) -> str:
        if not isinstance(self._value, str) or len(self._value) > TEXT_CHARS_MAX:
            raise self.wrong("is not a text")
        return self._value

    def text_or(self, absent: str) -> str:
        """`absent` if it is missing or null."""
        return self.text() if self.present else absent

    def number(self) -> int:
        """A whole number from 1 on: ids and pull request numbers are never less."""
        value = self.integer()
        if value < 1:
            raise self.wrong("is not a number from 1 on")
        return value

    def integer(self) -> int:
        value = self._value
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > NUMBER_MAX:
            raise self.wrong("is not a whole number")
        return value

    def flag(self) -> bool:
        """A missing flag is False; anything but a boolean is malformed."""
        if self._value is None:
            return False
        if not isinstance(self._value, bool):
            raise self.wrong("is not true or false")
        return self._value


def parse(body: bytes, fault: Fault) -> Json:
    """The document in `body`, or what `fault` makes of it. The depth is bounded by the parser."""
    try:
        return Json(orjson.loads(body), fault)
    except orjson.JSONDecodeError:
        raise fault("the body is not JSON") from None
