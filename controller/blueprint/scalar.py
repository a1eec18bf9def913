"""What a plain scalar means: the core of YAML 1.2 and nothing of 1.1 (I37).

`no`, `on`, `010`, `1:30`, `1_000` and dates are text. Numbers are exact: int within 64 bits, or Decimal.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TypeAlias

Plain: TypeAlias = str | int | Decimal | bool | None

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FIRST = frozenset("+-.0123456789~nNtTfF")
# A leading zero is an octal number to some readers and a decimal one to others: text.
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"\.(?:nan|NaN|NAN)|[-+]?\.(?:inf|Inf|INF)")
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_NUMBER_LETTERS_MAX = 64
_EXPONENT_MAX = 30


def resolved(text: str) -> Plain:
    """The value of the plain scalar `text`. Raises ValueError for a number that is not finite or out of range."""
    if text and text[0] not in _FIRST:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return _bounded(text, 10)
    if _OTHER_BASE.fullmatch(text):
        return _bounded(text, 0)
    if _DECIMAL.fullmatch(text):
        return _exact(text)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is no usable number; put it in quotes if it is meant as text")
    return text


def _bounded(text: str, base: int) -> int:
    # The length first: int() of a very long text is slow, and Python refuses it with an error of its own.
    value = int(text, base) if len(text) <= _NUMBER_LETTERS_MAX else _INT_MAX + 1
    if not _INT_MIN <= value <= _INT_MAX:
        raise ValueError("this number does not fit 64 bits; put it in quotes if it is meant as text")
    return value


def _exact(text: str) -> Decimal:
    if len(text) <= _NUMBER_LETTERS_MAX:
        value = Decimal(text)
        # One exponent is the first digit's, the other the last's: 1e-400 and 0e999999999 are both refused.
        if max(abs(value.adjusted()), abs(int(value.as_tuple().exponent))) <= _EXPONENT_MAX:
            return value
    raise ValueError("this number is out of range; put it in quotes if it is meant as text")
