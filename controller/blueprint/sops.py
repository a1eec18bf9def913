"""Files that SOPS has encrypted: which they are, what a reference names in them, and what they say of themselves.

Format: github.com/getsops/sops, `README.rst` and `aes/cipher.go`. Nothing is decrypted here; `controller.sops` does it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.blueprint.names import did_you_mean, shown
from controller.blueprint.value import Value

SCHEME = "sops"
_FORM = re.compile(r"sops:([!-\"$-~]+)#([^\s#/@]+(?:/[^\s#/@]+)*)")
_ENCRYPTED = re.compile(r"ENC\[AES256_GCM,data:[^,]*,iv:[^,]+,tag:[^,]+,type:[a-z]+\]")
_YAML = (re.compile(rb"^sops:[ \t]*\r?$", re.MULTILINE), re.compile(rb"^[ \t]+[\"']?mac[\"']?:[ \t]", re.MULTILINE))
_JSON = (re.compile(rb'"sops"[ \t\r\n]*:'), re.compile(rb'"mac"[ \t\r\n]*:[ \t\r\n]*"ENC\['))
_OTHERS = ("pgp", "kms", "gcp_kms", "azure_kv", "hc_vault", "hckms")
_MEND = "encrypt it with `sops encrypt --age RECIPIENT`"


@dataclass(frozen=True, slots=True)
class SopsFile:
    """One file at one revision. `tree` is its content without the key `sops`, `age` the data key as each recipient can
    open it (armored), `mac_bound` the text that the MAC is tied to."""

    path: str
    blob: str
    tree: Mapping[str, Value] = field(repr=False)
    age: tuple[str, ...] = field(repr=False)
    mac: str = field(repr=False)
    mac_bound: str
    mac_of_encrypted_only: bool = False


def parts(ref: str) -> tuple[str, str] | None:
    """Path and key of `sops:PATH#KEY` (`/` between nested keys); None for another form."""
    found = _FORM.fullmatch(ref)
    return (found[1], found[2]) if found else None


def blob_id(data: bytes) -> str:
    """The id Git gives a file with this content; a folder outside Git gives the same."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def is_sops(path: str, data: bytes) -> bool:
    """True for what only SOPS can have written, by the look of it: no blueprint."""
    if path.endswith(".json"):
        return all(p.search(data) for p in _JSON)
    return all(p.search(data) for p in _YAML) and b"ENC[AES256_GCM," in data


def read_sops(path: str, blob: str, content: Value) -> SopsFile:
    """What the parsed file at `path` says. Raises ValueError with what is wrong and the next step."""
    about = content.get("sops") if isinstance(content, Mapping) else None
    if not isinstance(content, Mapping) or not isinstance(about, Mapping):
        raise ValueError(f"{path} is no YAML or JSON file that SOPS encrypted; {_MEND}")
    if about.get("key_groups") or about.get("shamir_threshold"):
        raise ValueError(f"{path} splits its key over groups, which ALMA does not read; {_MEND}")
    if "encrypted_comment_regex" in about or "unencrypted_comment_regex" in about:
        raise ValueError(f"{path} chooses by comments what is encrypted, which ALMA does not read; {_MEND}")
    mac, bound = about.get("mac"), about.get("lastmodified")
    if not isinstance(mac, str) or not _ENCRYPTED.fullmatch(mac) or not isinstance(bound, str):
        raise ValueError(f"{path} has no MAC, so nobody can tell whether it was changed; {_MEND}")
    tree = {k: v for k, v in content.items() if k != "sops"}
    return SopsFile(path, blob, tree, _age(path, about), mac, bound, about.get("mac_only_encrypted") is True)


def _age(path: str, about: Mapping[str, Value]) -> tuple[str, ...]:
    listed = about.get("age")
    found = [i.get("enc") for i in listed if isinstance(i, Mapping)] if isinstance(listed, list | tuple) else []
    armored = tuple(e for e in found if isinstance(e, str))
    if not armored:
        others = [kind for kind in _OTHERS if about.get(kind)]
        for_whom = f"for {', '.join(others)} only" if others else "for nobody"
        raise ValueError(f"{path} is encrypted {for_whom}; ALMA reads age: add its recipient and run `sops updatekeys`")
    return armored


def encrypted(file: SopsFile, key: str) -> str:
    """The encrypted value at `key`. Raises ValueError where there is none; no value is ever in the text."""
    here: Value = file.tree
    walked: list[str] = []
    for part in key.split("/"):
        below = _below(here, part)
        if below is None:
            known = [str(k) for k in here] if isinstance(here, Mapping) else []
            where = f"{file.path} at {'/'.join(walked)}" if walked else file.path
            raise ValueError(f"no key {shown(part, 80)} in {where}{did_you_mean(part, known)}")
        here = below[0]
        walked.append(part)
    if not isinstance(here, str):
        raise ValueError(f"{key} in {file.path} is no single value; name one below it, as {key}/NAME")
    if not is_encrypted(here):
        raise ValueError(f"{key} in {file.path} is not encrypted; encrypt it, or write it into the blueprint")
    return here


def is_encrypted(value: Value) -> bool:
    """True for a value as SOPS writes an encrypted one."""
    return isinstance(value, str) and bool(_ENCRYPTED.fullmatch(value))


def _below(here: Value, part: str) -> tuple[Value] | None:
    if isinstance(here, Mapping):
        return (here[part],) if part in here else None
    if isinstance(here, list | tuple) and part.isdecimal() and int(part) < len(here):
        return (here[int(part)],)
    return None
