"""Does a plain value look like a secret? By its form, by the name of its field, or by how random it is.

A miss is a secret in Git; a false alarm is a person who stops reading. Formats are sure; names count only with a value
that could be one; randomness counts only for long text without the shape of a digest, an id, a path or a URL. Every
repetition that can start anywhere is bounded: a value of 1 MiB takes time in proportion (I34).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from controller.blueprint.value import Value

_FORMATS = re.compile(
    r"""
    -----BEGIN[ ](?:[A-Z0-9]{1,20}[ ]){0,4}PRIVATE[ ]KEY
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b
    | \bgh[pousr]_[A-Za-z0-9]{30,} | \bgithub_pat_[A-Za-z0-9_]{40,}
    | \bgl(?:pat|rt|dt|cbt|ptt)-[A-Za-z0-9_-]{18,}
    | \bxox[abeoprs]-[A-Za-z0-9-]{10,} | hooks\.slack\.com/services/T\w{1,40}/B\w{1,40}/\w+
    | discord(?:app)?\.com/api/webhooks/\d+/[\w-]{20,}
    | \bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]{20,} | \b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}
    | \bAIza[A-Za-z0-9_-]{35} | \bya29\.[A-Za-z0-9_-]{20,}
    | \beyJ[A-Za-z0-9_-]{8,400}\.eyJ[A-Za-z0-9_-]{8,}
    | \bnpm_[A-Za-z0-9]{30,} | \bpypi-[A-Za-z0-9_-]{30,} | \bdop_v1_[a-f0-9]{40,} | \bhv[sbr]\.[A-Za-z0-9_-]{20,}
    | \bSG\.[A-Za-z0-9_-]{16,80}\.[A-Za-z0-9_-]{16,} | \bkey-[a-f0-9]{32}\b | \bhf_[A-Za-z0-9]{30,}
    | AGE-SECRET-KEY-1[A-Z0-9]{50,} | \bdckr_pat_[A-Za-z0-9_-]{20,} | \btskey-[a-z]+-[A-Za-z0-9-]{10,}
    | \b\d{8,10}:AA[A-Za-z0-9_-]{30,} | \bglsa_[A-Za-z0-9_]{30,} | \bPVEAPIToken=\S{1,200}=\S+
    | \$(?:2[aby]|5|6|argon2id?|y)\$[^\s]{20,}
    | \bAccountKey=[A-Za-z0-9+/=]{40,}
    """,
    re.VERBOSE,
)
_IN_URL = re.compile(r"://[^\s/:@]{0,128}:([^\s@]{1,256})@")
_NAMED = re.compile(
    r"(?:passwor[dt]|passwd|passphrase|requirepass|masterauth|(?:^|[._/ -])(?:pass|pwd|salt)|secret|token|api[_-]?key"
    r"|access[_-]?key|private[_-]?key|encryption[_-]?key|signing[_-]?key|credentials?|auth[_-]?key)(?:[_.-]?(?:base64|b64|value|hash))?$",
    re.IGNORECASE,
)
_NOT_NAMED = re.compile(
    r"(?:^|[._-])(?:max|min|limit|count|length|ttl|expiry|timeout|public|bypass|enable)[_-]", re.IGNORECASE
)
_OPTION = re.compile(r"(?<!\S)--?([A-Za-z][\w.-]{0,80})[= ]\s{0,8}(\S{1,256})")
_ASSIGNED = re.compile(r"\b([A-Za-z][\w.-]{0,80})=(\S{1,256})")
_HARMLESS = re.compile(
    r"(?i)^(?:|true|false|yes|no|on|off|null|none|nil|disabled?|enabled?|required|optional|env|file|vault|sops"
    r"|\*+|x{3,}|<.*>|\$\w+|\{\{.*\}\}|\(secret\)|\(unset\)|\d{1,4}|change[-_]?me.*|example.*|placeholder.*"
    r"|your[-_].*|todo|/run/secrets/.*|/[\w./-]+|https?://[^@\s]*|(?:env|file|sops|vault):.*)$"
)
_HEX_LIKE = re.compile(r"[0-9a-fA-F]{32,}")
_TOKEN = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_ID_SHAPES = re.compile(
    r"(?:sha(?:1|256|384|512)[:-])[0-9a-zA-Z+/=]+"
    r"|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|https?://\S+|ssh-(?:rsa|ed25519)\s\S+|ecdsa-sha2-\S+\s\S+"
)


def looks_secret(path: str, value: Value) -> bool:
    """True if `value`, found at `path`, is plain text that should have been a `{secret: …}` reference."""
    return next(suspects(path, value), None) is not None


def suspects(path: str, value: Value) -> Iterator[str]:
    """The paths in `value` whose text looks like a secret; never the text itself."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from suspects(f"{path}.{key}", item)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from suspects(f"{path}.{i}", item)
    elif isinstance(value, str) and _suspicious(path, value):
        yield path


def _suspicious(path: str, text: str) -> bool:
    if _FORMATS.search(text):
        return True
    in_url = _IN_URL.search(text)
    if in_url and not _harmless(in_url.group(1)):
        return True
    if names_a_secret(path) and not _harmless(text):
        return True
    pairs = _OPTION.findall(text) + _ASSIGNED.findall(text)
    if any(names_a_secret(name) and not _harmless(given.strip("'\"")) for name, given in pairs):
        return True
    return any(_random(token) for token in _TOKEN.findall(_ID_SHAPES.sub(" ", text)))


def _harmless(text: str) -> bool:
    """A placeholder, a path, a reference, or text that another one is put into."""
    return bool(_HARMLESS.match(text)) or ("${" in text and "}" in text)


def names_a_secret(path: str) -> bool:
    """True if the last part of `path` is what people call a secret (`DB_PASSWORD`, `api-key`)."""
    name = path.rpartition(".")[2]
    return bool(_NAMED.search(name)) and not _NOT_NAMED.search(name) and not name.lower().endswith(("_file", "-file"))


def _random(token: str) -> bool:
    """Long, mixed and without pattern: hexadecimal from 32 digits, base64 from 24 characters."""
    if _HEX_LIKE.fullmatch(token):
        return len(token) not in (40, 64) and _bits(token) > 3.0  # 40 and 64: a commit, a digest
    mixed = any(c.isdigit() for c in token) and any(c.isupper() for c in token) and any(c.islower() for c in token)
    return mixed and token.count("/") < 3 and token.count("-") < 4 and _bits(token) > 4.0


def _bits(text: str) -> float:
    """Shannon entropy, bits per character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
