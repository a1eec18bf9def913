"""Nothing in a repository leads out of it, starts a program or opens a connection (I35, D9), whatever its size (D3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import FileMode

from controller.errors import AlmaError, InvalidInput
from controller.git.objects import ReadLimits
from controller.git.repository import Mirror
from tests.controller.git.origin import SOMEONE, Origin
from tests.controller.git.witness import witnessing

CANARY = b"secret: of another tenant\n"
YAML = (".yaml",)


def hostile_paths(outside: Path) -> list[str]:
    up = "../" * 12
    return [
        *(f"{'../' * n}outside/canary.yaml" for n in range(1, 5)),
        *(f"prod/{'../' * n}outside/canary.yaml" for n in range(2, 6)),
        *("..", "../", "prod/..", "prod/../..", "./..", "prod/./../..", "prod//web.yaml", "//prod", "/"),
        *(str(outside), f"{outside}/canary.yaml", f"/{outside}/canary.yaml", f"file://{outside}/canary.yaml"),
        *(f"{up}etc/passwd", "/etc/passwd", "/proc/self/environ", "/dev/stdin", "~/.ssh/id_rsa", "~root"),
        *(
            ".git",
            ".git/config",
            "prod/.git/hooks/x",
            ".GIT/config",
            "git~1/config",
            ".git /config",
            ".g\u200cit/config",
        ),
        *("..\\..\\outside\\canary.yaml", "C:\\Windows", "\\\\host\\share", "prod\0.yaml", "prod\n../x", "prod\r"),
        *(
            "\u202eprod",
            "-rf",
            "--output=/tmp/x",
            "--upload-pack=touch x",
            "%2e%2e/outside/canary.yaml",
            "..%2foutside",
        ),
        *("．．/outside/canary.yaml", "$(touch x)", "`touch x`", "; touch x", "| touch x", "prod/" + "a/" * 500),
    ]


def calls(mirror: Mirror, commit: str, tree: str, text: str) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """Every input that takes a path or a name."""
    return {
        "files": lambda: mirror.files(commit, text, YAML),
        "file": lambda: mirror.file(commit, text),
        "files_of_tree": lambda: mirror.files_of_tree(tree, text, YAML),
        "file_of_tree": lambda: mirror.file_of_tree(tree, text),
        "tree_id": lambda: mirror.tree_id(commit, text),
        "log": lambda: mirror.log(text, None, commit),
        "restore": lambda: mirror.restore_paths(commit, commit, [text], "x", SOMEONE),
        "delete": lambda: mirror.commit_files(commit, {text: None}, "x", SOMEONE),
        "head": lambda: mirror.head(text),
        "commit": lambda: mirror.commit(text),
        "at commit": lambda: mirror.file(text, "prod/web.yaml"),
    }


async def outcome(call: Callable[[], Awaitable[object]]) -> object:
    try:
        return await call()
    except InvalidInput as error:
        return error


async def test_no_path_string_leads_out_of_the_repository(
    tmp_path: Path, origin: Origin, mirror: Mirror, report_n: Callable[..., None]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary.yaml").write_bytes(CANARY)
    commit = origin.first({"prod/web.yaml": b"a: 1\n"})
    await mirror.fetch(["main"])
    tree = await mirror.tree_id(commit, "")
    assert tree
    texts = hostile_paths(outside)
    tried = 0
    with witnessing(outside) as seen:
        for text in texts:
            for name, call in calls(mirror, commit, tree, text).items():
                found = await outcome(call)
                tried += 1
                assert CANARY not in str(found).encode(), (name, text)
                if name in {"file", "file_of_tree", "tree_id"}:
                    assert found is None or isinstance(found, InvalidInput), (name, text)
                if name in {"files", "files_of_tree", "head", "commit", "at commit"}:
                    assert isinstance(found, InvalidInput), (name, text)
                if isinstance(found, InvalidInput):
                    assert str(found).isprintable(), (name, text)
    assert (seen.started, seen.called, seen.opened) == ([], [], [])
    assert len(texts) >= 40
    report_n("D9", tried)
    assert tried >= 400


async def test_a_written_path_never_leaves_the_repository(
    tmp_path: Path, origin: Origin, mirror: Mirror, report_n: Callable[..., None]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    commit = origin.first({"prod/web.yaml": b"a: 1\n"})
    await mirror.fetch(["main"])
    texts = hostile_paths(outside)
    with witnessing(outside) as seen:
        for text in texts:
            made = await outcome(partial(mirror.commit_files, commit, {text: b"x"}, "x", SOMEONE))
            if isinstance(made, str):
                [path] = await mirror.changed_paths(commit, made)
                assert ".." not in path.split("/") and not path.startswith(("/", "-", ".git"))
    assert (seen.started, seen.opened, list(outside.iterdir())) == ([], [], [])
    report_n("D9", len(texts))


LINKS = {
    "to a file": {"prod/a.yaml": b"web.yaml"},
    "to a folder": {"prod/a": b"../other"},
    "without a suffix": {"prod/readme": b"web.yaml"},
    "in a chain": {"prod/a.yaml": b"b.yaml", "prod/b.yaml": b"web.yaml"},
    "in a loop": {"prod/a.yaml": b"a.yaml"},
    "in a loop of folders": {"prod/a": b"."},
    "absolute": {"prod/a.yaml": b"/etc/passwd"},
    "to a device": {"prod/a.yaml": b"/dev/zero"},
    "into .git": {"prod/a.yaml": b"../.git/config"},
    "into another tenant": {"prod/a.yaml": b"../../../outside/canary.yaml"},
    "to a secret of the process": {"prod/a.yaml": b"/proc/self/environ"},
    "to nothing": {"prod/a.yaml": b"nowhere"},
    "with a long target": {"prod/a.yaml": b"../" * 4000},
    "the folder itself": {"prod2": b"../outside"},
}


@pytest.mark.parametrize("case", LINKS)
async def test_a_symbolic_link_is_refused_by_name(
    tmp_path: Path, origin: Origin, mirror: Mirror, case: str, report_n: Callable[..., None]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary.yaml").write_bytes(CANARY)
    files = LINKS[case]
    commit = origin.first({"prod/web.yaml": b"a", **files}, None)
    origin.point("main", origin.commit(files, parents=[commit], modes=dict.fromkeys(files, FileMode.LINK)))
    await mirror.fetch(["main"])
    head = await mirror.head("main")
    link = next(iter(files))
    prefixes = [".", "prod"] if link.startswith("prod/") else [".", link, f"{link}/deep"]
    with witnessing(outside) as seen:
        for prefix in prefixes:
            with pytest.raises(InvalidInput, match="symbolic link") as error:
                await mirror.files(head, prefix, YAML)
            assert any(problem.place and problem.place.file in files for problem in error.value.problems)
        with pytest.raises(InvalidInput, match="symbolic link"):
            await mirror.file(head, link)
        with pytest.raises(InvalidInput):
            await mirror.commit_files(head, {f"{link}/x.yaml": b"x"}, "x", SOMEONE)
    assert (seen.started, seen.called, seen.opened) == ([], [], [])
    report_n("D9", len(prefixes) + 2)


MODULES = {
    "plain": b'[submodule "lib"]\n\tpath = prod/lib\n\turl = https://192.0.2.1/lib.git\n',
    "that runs a command": b'[submodule "lib"]\n\tpath = prod/lib\n\turl = ext::sh -c touch%20x\n\tupdate = !touch x\n',
    "whose url is an option": b'[submodule "lib"]\n\tpath = prod/lib\n\turl = --upload-pack=touch x\n',
    "whose path is an option": b'[submodule "lib"]\n\tpath = -prod\n\turl = ./x\n',
    "whose name climbs": b'[submodule "../../.git/hooks"]\n\tpath = prod/lib\n\turl = ./x\n',
    "whose path ends in a return": b'[submodule "lib"]\n\tpath = "prod/lib\\r"\n\turl = ./x\n',
    "whose name differs in case": b'[submodule "lib"]\n\tpath = PROD/lib\n\turl = ./x\n[submodule "LIB"]\n\tpath = x\n',
}


@pytest.mark.parametrize("case", MODULES)
async def test_a_submodule_is_refused_by_name(
    origin: Origin, mirror: Mirror, case: str, report_n: Callable[..., None]
) -> None:
    first = origin.first({"prod/web.yaml": b"a", ".gitmodules": MODULES[case]})
    head = origin.commit({"prod/lib": b"1" * 40}, parents=[first], modes={"prod/lib": FileMode.COMMIT})
    await mirror.fetch(["main"])
    with witnessing() as seen:
        for prefix in (".", "prod", "prod/lib", "prod/lib/x"):
            with pytest.raises(InvalidInput, match="submodule"):
                await mirror.files(head, prefix, YAML)
        with pytest.raises(InvalidInput, match="submodule"):
            await mirror.file(head, "prod/lib")
    assert (seen.started, seen.called) == ([], [])
    report_n("D9", 5)


HOOKS = ("post-checkout", "post-merge", "pre-receive", "update", "post-receive", "post-update", "reference-transaction",
         "pre-commit", "commit-msg", "fsmonitor-watchman", "proc-receive", "push-to-checkout")  # fmt: skip


@pytest.mark.parametrize("side", ["remote", "mirror"])
async def test_no_hook_filter_or_configured_command_runs(
    tmp_path: Path, origin: Origin, mirror: Mirror, side: str, report_n: Callable[..., None]
) -> None:
    marker = tmp_path / "ran"
    attributes = b"*.yaml filter=evil diff=evil merge=evil ident text eol=crlf working-tree-encoding=utf-16\n"
    base = origin.first({".gitattributes": attributes, "prod/web.yaml": b"id: $Id$\r\n"})
    head = origin.commit({"prod/web.yaml": b"id: 2\r\n"}, branch="side", parents=[base])
    await mirror.fetch(["main"])
    folder = origin.path if side == "remote" else tmp_path / "state" / "mirror.git"
    (folder / "hooks").mkdir(exist_ok=True)
    for hook in HOOKS:
        (folder / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {marker}\n")
        (folder / "hooks" / hook).chmod(0o755)
    config = pygit2.Config(str(folder / "config"))
    for key in ("filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv",
                "diff.evil.command", "merge.evil.driver", "core.fsmonitor", "core.sshCommand", "core.pager",
                "credential.helper", "uploadpack.packObjectsHook", "gpg.program", "core.gitProxy"):  # fmt: skip
        config[key] = f"touch {marker}"
    (folder / "info").mkdir(exist_ok=True)
    (folder / "info" / "attributes").write_bytes(attributes)
    with witnessing() as seen:
        await mirror.fetch(["main", "side"])
        assert await mirror.files(head, "prod", YAML) == {"prod/web.yaml": b"id: 2\r\n"}
        preview = await mirror.merge_preview(base, head)
        assert preview.tree
        assert await mirror.files_of_tree(preview.tree, "prod", YAML) == {"prod/web.yaml": b"id: 2\r\n"}
        assert await mirror.patch_id(base, head)
        merged = await mirror.merge("main", head, "Merge", SOMEONE)
        reverted = await mirror.restore_paths(merged, base, ["prod"], "Revert", SOMEONE)
        await mirror.push(reverted, "main", merged)
    assert origin.tip() == reverted
    assert await mirror.files(reverted, "prod", YAML) == {"prod/web.yaml": b"id: $Id$\r\n"}
    assert not marker.exists()
    assert (seen.started, seen.called) == ([], [])
    report_n("D9", len(HOOKS) + 13)


async def test_an_lfs_pointer_is_refused_by_name(origin: Origin, mirror: Mirror, report_n: Callable[..., None]) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n"
    commit = origin.first({"prod/a.yaml": pointer})
    await mirror.fetch(["main"])
    with pytest.raises(InvalidInput, match=r"prod/a\.yaml.*LFS"):
        await mirror.files(commit, "prod", YAML)
    with pytest.raises(InvalidInput, match="LFS"):
        await mirror.file(commit, "prod/a.yaml")
    report_n("D9", 2)


NAMES = [
    *(b"..", b".", b".git", b".GIT", b".git.", b"git~1", b".git\xe2\x80\x8c", b".git::$INDEX_ALLOCATION"),
    *(b"a/b.yaml", b"a\\b.yaml", b"\xff.yaml", b"a\n.yaml", b"\x1b[2J.yaml", b"\xe2\x80\xae.yaml", b" ", b"..."),
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_that_is_no_file_name_is_refused(
    tmp_path: Path, origin: Origin, name: bytes, report_n: Callable[..., None]
) -> None:
    for place in ("root", "below"):
        entry = ("100644", name, origin.blob(b"x"))
        entries = [entry] if place == "root" else [("40000", b"prod", origin.tree([entry]))]
        commit = origin.odd(entries, place)
        mirror = Mirror.open(tmp_path / f"{place}.git", origin.url)
        # What libgit2 itself will not take in is refused by the fetch; the rest when it is read.
        with pytest.raises(AlmaError) as error:
            await mirror.fetch([place])
            await mirror.files(commit, ".", YAML)
        assert str(error.value).isprintable()
        await mirror.close()
    report_n("D9", 2)


@pytest.mark.parametrize(
    "mode", ["100600", "100777", "100000", "10644", "20666", "60660", "140777", "0", "120777", "1"]
)
async def test_a_strange_mode_is_refused(
    origin: Origin, mirror: Mirror, mode: str, report_n: Callable[..., None]
) -> None:
    commit = origin.odd([(mode, b"a.yaml", origin.blob(b"x"))])
    await mirror.fetch(["main"])
    with pytest.raises(InvalidInput, match=r"a\.yaml"):
        await mirror.files(commit, ".", YAML)
    with pytest.raises(InvalidInput, match=r"a\.yaml"):
        await mirror.file(commit, "a.yaml")
    report_n("D9", 1)


async def test_a_file_above_the_limit_is_refused_from_its_header(origin: Origin, mirror: Mirror) -> None:
    commit = origin.first({"prod/big.yaml": b"\0" * 100_000_000, "prod/a.yaml": b"a"})
    await mirror.fetch(["main"])
    with pytest.raises(InvalidInput, match=r"prod/big\.yaml.*100000000 bytes"):
        await mirror.files(commit, "prod", YAML)
    with pytest.raises(InvalidInput, match="100000000 bytes"):
        await mirror.file(commit, "prod/big.yaml")


async def test_too_many_files_or_bytes_are_refused(origin: Origin, mirror: Mirror) -> None:
    commit = origin.first({f"prod/{n}.yaml": b"12345" for n in range(20)})
    await mirror.fetch(["main"])
    with pytest.raises(InvalidInput, match="more than 19 files"):
        await mirror.files(commit, "prod", YAML, ReadLimits(files_max=19))
    with pytest.raises(InvalidInput, match="more than 99 bytes"):
        await mirror.files(commit, "prod", YAML, ReadLimits(total_bytes_max=99))
    assert len(await mirror.files(commit, "prod", YAML, ReadLimits(files_max=20, total_bytes_max=100))) == 20


async def test_trees_that_repeat_without_end_are_refused(origin: Origin, mirror: Mirror) -> None:
    tree = origin.tree([("100644", b"a.yaml", origin.blob(b"x"))])
    for _ in range(10):
        tree = origin.tree([("40000", f"{n:02}".encode(), tree) for n in range(20)])
    commit = origin.odd([("40000", b"bomb", tree)])
    await mirror.fetch(["main"])
    with pytest.raises(InvalidInput, match="holds more than"):
        await mirror.files(commit, ".", YAML)


async def test_a_folder_of_fifty_thousand_entries_is_refused_before_it_is_read(origin: Origin, mirror: Mirror) -> None:
    blob = origin.blob(b"x")
    commit = origin.odd([("100644", f"{n:06}.yaml".encode(), blob) for n in range(50_000)])
    await mirror.fetch(["main"])
    with pytest.raises(InvalidInput, match="more than 5000 files"):
        await mirror.files(commit, ".", YAML)


async def test_a_folder_that_is_not_there_is_an_error_and_not_an_empty_answer(origin: Origin, mirror: Mirror) -> None:
    commit = origin.first({"prod/a.yaml": b"a"})
    await mirror.fetch(["main"])
    with pytest.raises(InvalidInput, match="no such folder"):
        await mirror.files(commit, "prd", YAML)
    assert await mirror.tree_id(commit, "prd") is None


async def test_a_commit_that_was_not_fetched_is_named(mirror: Mirror) -> None:
    with pytest.raises(InvalidInput, match="not in the mirror"):
        await asyncio.wait_for(mirror.files("a" * 40, ".", YAML), 30)
