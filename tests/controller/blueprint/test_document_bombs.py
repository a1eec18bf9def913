"""D2, D3: nothing that can be written into a file ends, blocks or bloats the process that reads it.

A crash of the C parser would end the test run itself, so every bomb is read in a forked child that may neither grow nor
take long: the kernel enforces both.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from controller.blueprint.document import read_document
from controller.blueprint.limits import Limits
from controller.blueprint.loader import check_sizes
from controller.errors import InvalidInput

SHAPES = {
    "brackets": "[",
    "braces": "{",
    "dashes": "- ",
    "questions": "? ",
    "map-in-list": "[{a: ",
    "list-in-map": "{a: [",
    "explicit-flow": "[? ",
    "nested-block": "lines",
    "closed-brackets": "closed",
    "quoted-keys": '{"a":',
    "alias-doubling": "doubling",
    "alias-fan": "fan",
    "alias-cycle": "cycle",
    "merge-doubling": "merges",
    "many-keys": "keys",
    "many-tags": "directives",
    "many-anchors": "anchors",
    "long-scalar": "scalar",
}
SIZES = (1_000, 30_000, 50_000, 1_000_000)

# Reads each bomb in a child of its own and prints [shape, size, exit status, grown bytes] per line.
CHILD = r"""
import json, os, resource, sys
from controller.blueprint.document import read_document
from controller.errors import InvalidInput

def bomb(shape, n):
    if shape == "lines":
        return "\n".join(" " * i + "a:" for i in range(min(n, 1400)))
    if shape == "closed":
        return "a: " + "[" * (n // 2) + "]" * (n // 2)
    if shape == "doubling":
        return "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i-1},*a{i-1}]\n" for i in range(1, n // 30))
    if shape == "fan":
        return "a: &a [" + "x," * 500 + "]\nb: [" + "*a," * (n // 3) + "]"
    if shape == "cycle":
        return "a: &a [" + "x," * (n // 2) + "*a]"
    if shape == "merges":
        return "a0: &a0 {x0: 1}\n" + "".join(
            f"a{i}: &a{i} {{<<: [*a{i-1}, *a{i-1}], x{i}: 1}}\n" for i in range(1, n // 40))
    if shape == "keys":
        return "".join(f"k{i}: \n" for i in range(n // 9))
    if shape == "directives":
        return "".join(f"%TAG !t{i}! x{i}\n" for i in range(n // 16)) + "---\na: 1\n"
    if shape == "anchors":
        return "a: [" + "".join(f"&x{i} 1," for i in range(n // 10)) + "]"
    if shape == "scalar":
        return "a: " + "x" * n + "\nb: '" + "y" * 9
    return shape * (n // len(shape))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def judge(data):
    before = peak()
    try:
        read_document(data, "bomb.yaml")
        code = 1
    except InvalidInput:
        code = 0
    grown = peak() - before
    os.write(1, (json.dumps(grown) + "\n").encode())
    os._exit(code)

for shape, n in json.load(sys.stdin):
    data = bomb(shape, n).encode()
    print(json.dumps([shape, n, len(data)]), flush=True)
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
        with open("/proc/self/statm") as statm:
            now = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + (256 << 20), now + (256 << 20)))
        judge(data)
    print(json.dumps(os.waitpid(child, 0)[1]), flush=True)
"""


def test_bombs_are_refused_and_kill_nobody(report_n: Callable[..., None]) -> None:
    cases = [(shape, size) for shape in SHAPES.values() for size in SIZES]
    child = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps(cases), capture_output=True, text=True, timeout=240, check=False
    )
    assert child.returncode == 0, child.stderr[-2000:]
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    ends = list(zip(lines[::3], lines[1::3], lines[2::3], strict=True))
    assert len(ends) == len(cases)
    refused = [(shape, status) for (shape, _, _), _, status in ends]
    # Wide but within every limit: these are simply read. Everything else must be refused.
    harmless = {("keys", 1_000), ("keys", 30_000), ("keys", 50_000), ("anchors", 1_000)}
    harmless |= {("merges", 1_000), ("doubling", 1_000)}
    died = [c for c, (_, status) in zip(cases, refused, strict=True) if status not in (0, 256)]
    read = {c for c, (_, status) in zip(cases, refused, strict=True) if status == 256}
    assert died == []
    assert read <= harmless
    largest = max(grown for _, grown, status in ends if status == 0)
    assert largest <= 20 << 20, f"a refused file cost {largest:,} bytes"
    report_n("D2", len(cases), len(died))


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a [[*a]]", "&a a: *a\nb: &b [*b]"])
def test_what_contains_itself_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="contains itself"):
        read_document(text.encode(), "a.yaml")


def test_a_file_that_is_too_large_is_refused_unread(report_n: Callable[..., None]) -> None:
    class Unreadable(bytes):
        """Bytes that fail the test when anything but their length is asked for."""

        def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
            raise AssertionError("was read")

        def startswith(self, *args: object) -> bool:
            raise AssertionError("was read")

    for size in (2**20 + 1, 2**21, 10**8):
        with pytest.raises(InvalidInput, match="a file may have 1,048,576: split it"):
            read_document(Unreadable(size), "a.yaml")
    report_n("D3", 3)


def test_a_scope_is_refused_by_the_sizes_of_its_files_alone(report_n: Callable[..., None]) -> None:
    cases = [
        ({"a.yaml": 10**8}, "100,000,000 bytes; a file may have 1,048,576"),
        ({f"{i}.yaml": 10 for i in range(10_000)}, "10,000 blueprint files; a scope may have 5,000"),
        ({f"{i}.yaml": 2**20 for i in range(11)}, "11,534,336 bytes of blueprints; a scope may have 10,485,760"),
        ({f"{i}.yaml": 2**30 for i in range(50_000)}, "50,000 blueprint files"),
    ]
    for sizes, expected in cases:
        with pytest.raises(InvalidInput) as caught:
            check_sizes(sizes)
        assert expected in str(caught.value)
        assert len(caught.value.problems) <= Limits().problems
    check_sizes({f"{i}.yaml": 2**20 for i in range(10)})
    report_n("D3", len(cases))
