"""Text from outside, made fit to keep: no secret of ours, no control character, at most 4 KiB (I28, I45)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

TEXT_BYTES_MAX = 4096
_HIDDEN = "***"
_USERINFO = re.compile(r"(?<=://)[^/\s@]*@")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]+")


def encodings(secret: str) -> frozenset[str]:
    """The forms in which a secret may come back: raw, URL, hex, and base64 at each of its three offsets."""
    raw = secret.encode()
    cores = {base64.b64encode(b"\0" * pad + raw).decode()[4 if pad else 0 :] for pad in range(3)}
    shown = {core.rstrip("=")[:-1] for core in cores}
    return frozenset(
        form
        for form in {secret, quote(secret, safe=""), quote_plus(secret), raw.hex(), raw.hex().upper()}
        | shown
        | {form.replace("+", "-").replace("/", "_") for form in shown}
        if len(form) >= 4
    )


class Redactor:
    """Hides the given secrets in any text. Holds them privately; its repr shows none."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if secret for form in encodings(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self.__pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        """`text` on one line, without secrets, at most `TEXT_BYTES_MAX` bytes of UTF-8."""
        # Before and after: a control character inside a secret must not hide it from the pattern.
        shown = self._hide(_UNSEEN.sub(" ", self._hide(text)))
        shown = _USERINFO.sub(f"{_HIDDEN}@", shown)
        return shown.encode("utf-8", "replace")[:TEXT_BYTES_MAX].decode("utf-8", "ignore")

    def _hide(self, text: str) -> str:
        return self.__pattern.sub(_HIDDEN, text) if self.__pattern else text
