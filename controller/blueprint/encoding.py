"""Bytes of a repository → text: UTF-8 only, without the characters that editors, forges and parsers disagree about."""

from __future__ import annotations

import re

from controller.errors import InvalidInput, Place, Problem

# C0 but tab and line ends, DEL, C1 with NEL, the Unicode line ends (a YAML 1.1 parser sees a new line where a review
# shows none), a byte order mark inside the text, non-characters, and CR alone (line numbers would differ).
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|\r(?!\n)")
_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def decoded(data: bytes, file: str) -> str:
    """The text in `data`, without a byte order mark at its start. Raises InvalidInput naming the place."""
    if data.startswith(_WIDE_BOMS) or b"\0" in data[:4]:
        raise InvalidInput([Problem(Place(file), "this is UTF-16 or UTF-32; save the file as UTF-8")])
    if data.startswith(_BOM):
        data = data[len(_BOM) :]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place(data[: error.start].decode("utf-8"), file)
        message = f"not UTF-8 (byte 0x{data[error.start]:02x}: {error.reason}); save the file as UTF-8"
        raise InvalidInput([Problem(place, message)]) from None
    wrong = _FORBIDDEN.search(text)
    if wrong:
        raise InvalidInput([Problem(_place(text[: wrong.start()], file), _advice(wrong.group()))])
    return text


def _place(before: str, file: str) -> Place:
    return Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _advice(char: str) -> str:
    if char == "\r":
        return "this line ends with CR alone; save the file with LF or CRLF line ends"
    code = f"U+{ord(char):04X}"
    if char in "\u2028\u2029\x85":
        return f"{code} is a hidden line end; replace it by a plain one, or write it as an escape in double quotes"
    return f"control character {code} is not allowed; remove it, or write it as an escape in double quotes"
