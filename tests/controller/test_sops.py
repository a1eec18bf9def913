"""What the real SOPS encrypted is read with the right key, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.blueprint.attached import own_files, parse_documents
from controller.blueprint.sops import SopsFile, blob_id, is_sops, parts, read_sops
from controller.sops import Undecryptable, decrypt, identity_lines
from tests.servers.sops import Sops

PLAIN = """\
# a comment that SOPS encrypts too
password: Can4ry-pass
db:
    user: app # beside a value
    dsn: "postgres://app:Can4ry-dsn@db/app?a=b:c"
    ports: [5432, 5433]
numbers: {whole: 42, part: 1.50, big: 12345678.25, yes: true, no: false, none: null}
empty: ""
many:
    - first
    - {name: inner, value: Can4ry-inner}
cert: |
    -----BEGIN-----
    Can4ryline
    -----END-----
ünïcode: "grüße ☃ 🔑"
hosts_unencrypted: [a.example, 8080, 2.5, true]
"""
KEYS = {
    "password": "Can4ry-pass",
    "db/user": "app",
    "db/dsn": "postgres://app:Can4ry-dsn@db/app?a=b:c",
    "db/ports/1": "5433",
    "numbers/whole": "42",
    "numbers/part": "1.5",
    "numbers/big": "12345678.25",
    "numbers/yes": "True",
    "many/0": "first",
    "many/1/value": "Can4ry-inner",
    "cert": "-----BEGIN-----\nCan4ryline\n-----END-----\n",
    "ünïcode": "grüße ☃ 🔑",
}


def read(text: str, path: str = "prod/app.yaml") -> SopsFile:
    documents = parse_documents(path, text.encode())
    assert not documents.problems
    return read_sops(path, blob_id(text.encode()), documents.values[0])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("app.yaml", ()),
        ("app.yaml", ("mac-only-encrypted",)),
        ("app.yaml", ("--encrypted-regex", "^(password|db|many|cert|numbers|ünïcode)$")),
        ("app.yaml", ("--unencrypted-suffix", "_unencrypted")),
        ("app.json", ("--input-type", "yaml", "--output-type", "json")),
    ],
)
def test_every_value_is_read_as_sops_wrote_it(sops: Sops, name: str, options: tuple[str, ...]) -> None:
    identity, recipient = sops.identity("key")
    if options == ("mac-only-encrypted",):
        text = sops.encrypt(name, PLAIN, rule=f"{{age: {recipient}, mac_only_encrypted: true}}")
        assert "mac_only_encrypted: true" in text
    else:
        text = sops.encrypt(name, PLAIN, "--age", recipient, *options)
    assert "Can4ry" not in text
    assert is_sops(f"prod/{name}", text.encode())
    file = read(text, f"prod/{name}")
    assert {key: decrypt(file, key, [identity]) for key in KEYS} == KEYS


def test_any_of_several_recipients_opens_it_and_an_edit_by_sops_stays_readable(sops: Sops) -> None:
    keys = [sops.identity(f"key{n}") for n in range(3)]
    text = sops.encrypt("app.yaml", PLAIN, "--age", ",".join(recipient for _, recipient in keys[:2]))
    edited = sops.edit("app.yaml", text, '["db"]["user"]', '"other"', keys[0][0])
    for identity, _ in keys[:2]:
        assert decrypt(read(edited), "db/user", [keys[2][0], identity]) == "other"
        assert decrypt(read(edited), "password", [identity]) == "Can4ry-pass"
    assert sops.decrypt("app.yaml", edited, '["db"]["user"]', keys[1][0]) == "other"
    assert sops.decrypt("app.yaml", text, '["many"][1]["value"]', keys[1][0]) == KEYS["many/1/value"]


def swapped(text: str, one: str, other: str) -> str:
    """Two lines with each other's values, both whole."""
    a, b = (re.search(rf"^( *{key}: )(.*)$", text, re.MULTILINE) for key in (one, other))
    assert a and b
    return text.replace(a.group(), a[1] + b[2]).replace(b.group(), b[1] + a[2])


TAMPERED: dict[str, Callable[[str], str]] = {
    "two values changed places": lambda t: swapped(t, "password", "cert"),
    "a value of the same path in a list": lambda t: re.sub(r"( - )(ENC.*)\n( +- )(ENC.*)", r"\1\4\n\3\2", t),
    "a plain value": lambda t: t.replace("a.example", "b.example"),
    "a plain number": lambda t: t.replace("- 8080", "- 8081"),
    "a value left out": lambda t: re.sub(r"^cert: .*\n", "", t, flags=re.MULTILINE),
    "a value put in": lambda t: f"new: plain\n{t}",
    "one bit": lambda t: re.sub(r"(password: ENC\[AES256_GCM,data:)(.)", lambda m: m[1] + flipped(m[2]), t),
    "the tag": lambda t: re.sub(r"(password: .*tag:)(.)", lambda m: m[1] + flipped(m[2]), t),
    "the nonce": lambda t: re.sub(r"(password: .*iv:)(.)", lambda m: m[1] + flipped(m[2]), t),
    "the MAC": lambda t: re.sub(r"(mac: ENC\[AES256_GCM,data:)(.)", lambda m: m[1] + flipped(m[2]), t),
    "the time it is tied to": lambda t: re.sub(r"lastmodified: \"\d{4}", 'lastmodified: "1999', t),
    "what the MAC is over": lambda t: t.replace("sops:\n", "sops:\n    mac_only_encrypted: true\n"),
    "an encrypted value made plain": lambda t: re.sub(r"^cert: .*$", "cert: mine", t, flags=re.MULTILINE),
}


def flipped(letter: str) -> str:
    return "A" if letter != "A" else "B"


@pytest.mark.parametrize("how", TAMPERED)
def test_a_file_that_sops_did_not_write_gives_nothing(sops: Sops, how: str) -> None:
    identity, recipient = sops.identity("key")
    text = sops.encrypt("app.yaml", PLAIN, "--age", recipient)
    changed = TAMPERED[how](text)
    assert changed != text
    with pytest.raises(Undecryptable, match="MAC is wrong") as told:
        decrypt(read(changed), "db/user", [identity])
    assert "Can4ry" not in str(told.value) + repr(told.value.__context__)


def test_the_mac_of_another_file_does_not_count(sops: Sops) -> None:
    identity, recipient = sops.identity("key")
    one, other = (read(sops.encrypt("a.yaml", t, "--age", recipient)) for t in (PLAIN, PLAIN.replace("42", "43")))
    for mixed in (replace(one, mac=other.mac, mac_bound=other.mac_bound), replace(one, age=other.age)):
        with pytest.raises(Undecryptable):
            decrypt(mixed, "password", [identity])


def test_without_the_right_key_the_error_says_whom_to_add(sops: Sops) -> None:
    _, recipient = sops.identity("key")
    wrong, _ = sops.identity("wrong")
    file = read(sops.encrypt("app.yaml", PLAIN, "--age", recipient))
    with pytest.raises(Undecryptable, match="is not encrypted for this server: add its age recipient"):
        decrypt(file, "password", [wrong])
    with pytest.raises(Undecryptable, match=r"no age identity.*allow.REPOSITORY.sops.age"):
        decrypt(file, "password", [])
    with pytest.raises(Undecryptable, match="malformed: write it anew with age-keygen") as told:
        decrypt(file, "password", ["AGE-SECRET-KEY-1QQQQ"])
    assert "QQQQ" not in str(told.value)


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("pasword", "no key pasword in prod/app.yaml.*password"),
        ("db/nobody", "no key nobody in prod/app.yaml at db"),
        ("db", "is no single value; name one below it, as db/NAME"),
        ("hosts_unencrypted/0", "is not encrypted"),
        ("password/x", "no key x"),
        ("many/7", "no key 7"),
    ],
)
def test_a_key_that_gives_no_secret_is_named(sops: Sops, key: str, word: str) -> None:
    identity, recipient = sops.identity("key")
    with pytest.raises(Undecryptable, match=word):
        decrypt(read(sops.encrypt("app.yaml", PLAIN, "--age", recipient)), key, [identity])


ENC = "ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]"
HEAD = f"a: {ENC}\nsops:\n    lastmodified: '2026-01-01T00:00:00Z'\n    mac: {ENC}\n"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (HEAD + "    pgp: [{fp: AB, enc: x}]\n", "is encrypted for pgp only; ALMA reads age"),
        (HEAD + "    kms: [{arn: x}]\n    gcp_kms: [{a: b}]\n", "for kms, gcp_kms only"),
        (HEAD, "for nobody"),
        (HEAD + "    age: [{enc: x}]\n    shamir_threshold: 2\n", "splits its key over groups"),
        (HEAD + "    age: [{enc: x}]\n    encrypted_comment_regex: x\n", "chooses by comments"),
        (f"a: {ENC}\nsops: {{age: [{{enc: x}}]}}\n", "has no MAC"),
        ("a: b\n", "is no YAML or JSON file that SOPS encrypted"),
        ("a: b\nsops: no\n", "is no YAML or JSON file that SOPS encrypted"),
    ],
)
def test_what_is_not_read_says_why_and_what_to_do(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        read(text)


def test_a_data_key_that_is_no_age_text_is_a_wrong_key_and_no_crash(sops: Sops) -> None:
    identity, _ = sops.identity("key")
    with pytest.raises(Undecryptable, match="not encrypted for this server"):
        decrypt(read(HEAD + "    age: [{enc: nonsense}]\n"), "a", [identity])


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("sops:a.yaml#k", ("a.yaml", "k")),
        ("sops:/x/a.yaml#a/b/0", ("/x/a.yaml", "a/b/0")),
        ("sops:a.yaml", None),
        ("sops:#k", None),
        ("sops:a.yaml#", None),
        ("sops:a.yaml#/k", None),
        ("sops:a.yaml#k#l", None),
        ("sops:a b.yaml#k", None),
    ],
)
def test_a_reference_names_a_file_and_a_key(ref: str, found: tuple[str, str] | None) -> None:
    assert parts(ref) == found


def test_files_of_sops_are_no_blueprints_and_blueprints_are_no_files_of_sops(sops: Sops) -> None:
    _, recipient = sops.identity("key")
    files = {
        "a.yaml": sops.encrypt("a.yaml", PLAIN, "--age", recipient).encode(),
        "b.json": sops.encrypt("b.json", '{"x": "y"}', "--age", recipient).encode(),
        "c.yaml": b"name: shop\nresources: []\nsops:\n  note: mac\n",
        "d.yaml": b"name: shop\nresources: []\n",
    }
    assert list(own_files(files)) == ["c.yaml", "d.yaml"]


def test_only_lines_that_are_keys_count_as_identities(sops: Sops) -> None:
    text, _ = sops.identity("key")
    assert identity_lines(f"{text}# AGE-SECRET-KEY-1NOT\n") == (text.splitlines()[2],)
