"""D1: whatever the bytes are, the answer is a document or typed mistakes with a place."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.blueprint.document import read_document
from controller.blueprint.loader import ParsedBlueprint, parse_blueprint
from controller.errors import InvalidInput

SEEDS = (
    b"""\
version: "1.0"
name: shop
provider: docker
resources:
  - name: db
    type: database
    engine: postgresql
    version: 15
    specs: &big {image: "postgres:15", memory: 2GB, env: {PASSWORD: {secret: "env:DB"}}}
    backup: {enabled: true, retention_days: 30}
    lifecycle: {protect: true, on_delete: retain, max_disruption: restart}
  - name: web
    type: container
    specs: {<<: *big, ports: ["80:80"], url: "postgres://${resources.db.outputs.address}/x"}
    dependencies: [db]
    health: {http: {port: 80, path: /healthz}, timeout: 30s}
    waivers: [{rule: SEC001, reason: known, by: ops, until: 2030-01-01}]
metadata: {environment: production}
""",
    b'{"name":"a","resources":[{"name":"b","type":"vm","specs":{"cpu":4,"memory":"8GB","x":"\\ud83d\\ude00\\n"}}]}',
    b"name: a\nresources:\n- {name: b, type: vm, specs: {text: |\n    one\n     two\n, other: >-\n    three}}\n",
    b"%YAML 1.2\n---\nname: a # note\nresources: []\n...\n",
    b"? name\n: 'it''s'\n? resources\n: - &a x\n  - *a\n",
)
PIECES: tuple[bytes, ...] = (
    b"[",
    b"]",
    b"{",
    b"}",
    b": ",
    b"- ",
    b"? ",
    b"&a ",
    b"*a",
    b"!!x ",
    b"|\n",
    b">\n",
    b"'",
    b'"',
    b"\\",
    b"\\u",
)
PIECES += (b"#", b"%", b"\t", b"\n", b"\r", b"\0", b"\xff", b"\xc0", b"\xef\xbb\xbf", b"<<: ", b"---\n", b"...\n", b"~")
PIECES += (
    b"2024-99-99",
    b"9" * 4400,
    b"1e999999999",
    b"0x",
    b".nan",
    b"${",
    b"$${",
    b"\xe2\x80\xae",
    b"\xf3\xa0\x81\x81",
)
MUTATIONS = 10_000


def _mutated(data: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.randint(1, 4)):
        at, length = draw.randint(0, len(data)), draw.randint(0, 12)
        action = draw.randrange(5)
        if action == 0:
            data = data[:at] + data[at + length :]
        elif action == 1:
            data = data[:at] + draw.choice(PIECES) + data[at:]
        elif action == 2:
            data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
        elif action == 3:
            data = data[:at] + data[at : at + length] * draw.randint(2, 30) + data[at:]
        else:
            data = data[:at] + draw.choice(PIECES) + data[at + length :]
    return data


def _well_formed(parsed: ParsedBlueprint) -> bool:
    placed = all(p.place is not None and p.place.line >= 1 and p.place.col >= 1 for p in parsed.problems)
    said = all(p.message and "\n" not in p.message and p.message.isprintable() for p in parsed.problems)
    return placed and said and (parsed.blueprint is None) == bool(parsed.problems)


def test_no_mutation_of_a_blueprint_lets_an_untyped_error_out(report_n: Callable[..., None]) -> None:
    draw = random.Random(20_261_121)
    refused = 0
    for i in range(MUTATIONS):
        data = _mutated(SEEDS[i % len(SEEDS)], draw)
        parsed = parse_blueprint("a.json" if i % 7 == 0 else "a.yaml", data)
        assert _well_formed(parsed), data
        refused += parsed.blueprint is None
    assert 0 < refused < MUTATIONS
    report_n("D1", MUTATIONS)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_no_bytes_at_all_let_an_untyped_error_out(data: bytes) -> None:
    try:
        read_document(data, "a.yaml")
    except InvalidInput as error:
        assert error.problems


MALFORMED = (
    "a: [",
    "a: {",
    "a: ]",
    "a: }",
    "a: 'x",
    'a: "x',
    "a: b: c",
    "a:\n b\n c: d",
    "- a\nb: c",
    "a: |x\n b",
    "a: >9z\n b",
    "a: &",
    "a: *",
    "a: & b",
    "a: !<",
    "a: !<x> y",
    "a: @b",
    "a: `b",
    "a: %b",
    "\ta: b",
    "a:\n\tb: c",
    "{a, b: c, : }",
    "{a: b",
    "[a, b",
    "a: [b]]",
    "a: {b}}",
    'a: "\\q"',
    'a: "\\xZZ"',
    'a: "\\u12"',
    'a: "\\U00110000"',
    "a: 'b' c",
    'a: "b" c',
    "a: [b] c",
    "a: {b: c} d",
    "%YAML 3.0\n---\na: b",
    "%YAML\n---\na: b",
    "%YAML 1.2\n%YAML 1.2\n---\na: b",
    "--- a: b\n  c: d",
    "...\n...",
    "a: - b",
    "? a\n- b",
    "key: [\n- a\n]",
    "a: 'b\n---\nc'",
    "a\nb: c",
    "a: \n  - b\n c: d",
    "!!a !!b c: d",
    "&a &b c: d",
    "*a : b",
    "a: *b c",
    "a: &b *b",
    "a: [,]",
    "{,}",
    "[a,,b]: c",
    "a: |\n x\n  y\n z: |-+ 1",
)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_malformed_files_are_typed_mistakes_with_a_place(newline: str, report_n: Callable[..., None]) -> None:
    for text in MALFORMED:
        parsed = parse_blueprint("a.yaml", text.replace("\n", newline).encode())
        assert parsed.problems and _well_formed(parsed), text
    report_n("D1", len(MALFORMED))
