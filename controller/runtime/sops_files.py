"""Encrypted files that secrets name: read at the revision of the blueprint, within its scope, still encrypted.

A file belongs to the content of its scope, so that equal content ids mean equal secrets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace

from controller.blueprint.attached import Documents
from controller.blueprint.entry import Entry
from controller.blueprint.repository import ScopeConfig
from controller.blueprint.sops import SopsFile, blob_id, encrypted, parts, read_sops
from controller.blueprint.value import Secret, secrets_in
from controller.blueprint.value import replace as substitute
from controller.errors import InvalidInput, Problem
from controller.runtime.attaching import within

Read = Callable[[str], Awaitable[bytes | None]]  # the file at a path of the revision
Parse = Callable[[Mapping[str, bytes]], Awaitable[Mapping[str, Documents]]]


async def with_sops(
    entries: Sequence[Entry], scope: ScopeConfig, read: Read, parse: Parse
) -> tuple[tuple[Entry, ...], Mapping[str, SopsFile]]:
    """Every entry with its `sops:` secrets as paths from the root, and the files, by path. Raises InvalidInput with
    every mistake at its place."""
    problems: list[Problem] = []
    files: dict[str, SopsFile | str] = {}
    found = [await _entry(e, scope, read, parse, files, problems) for e in entries]
    if problems:
        raise InvalidInput(problems)
    return tuple(found), {path: f for path, f in files.items() if isinstance(f, SopsFile)}


async def sops_files(paths: Collection[str], read: Read, parse: Parse) -> Mapping[str, SopsFile]:
    """The files at `paths`. Raises InvalidInput for one that is not there or no file of SOPS."""
    found = {path: await _file(path, read, parse) for path in sorted(paths)}
    wrong = [f for f in found.values() if isinstance(f, str)]
    if wrong:
        raise InvalidInput(Problem(None, text) for text in wrong)
    return {path: f for path, f in found.items() if isinstance(f, SopsFile)}


async def _entry(
    entry: Entry,
    scope: ScopeConfig,
    read: Read,
    parse: Parse,
    files: dict[str, SopsFile | str],
    problems: list[Problem],
) -> Entry:
    known: dict[str, Secret] = {}
    for place, secret in secrets_in(entry.specs, "specs"):
        named = parts(secret.ref)
        if named is None:
            continue
        path = within(entry, named[0])
        if path is None or not scope.owns(path):
            problems.append(entry.problem(place, f"{named[0]} is not below the scope's folder {scope.path}"))
            continue
        if path not in files:
            files[path] = await _file(path, read, parse)
        wrong = _unusable(files[path], named[1])
        if wrong:
            problems.append(entry.problem(place, wrong))
            continue
        known[secret.ref] = Secret(f"sops:{path}#{named[1]}", blob=blob_of(files[path]))
    if not known:
        return entry
    specs = substitute(entry.specs, lambda leaf: known.get(leaf.ref, leaf) if isinstance(leaf, Secret) else leaf)
    assert isinstance(specs, dict), "a map stays a map"
    return replace(entry, specs=specs)


def blob_of(file: SopsFile | str) -> str | None:
    """The id of the file's content; None where there is only a reason why it is of no use."""
    return file.blob if isinstance(file, SopsFile) else None


def _unusable(file: SopsFile | str, key: str) -> str:
    """Why `key` of the file gives no secret; empty where it may."""
    if isinstance(file, str):
        return file
    try:
        encrypted(file, key)
    except ValueError as error:
        return str(error)
    return ""


async def _file(path: str, read: Read, parse: Parse) -> SopsFile | str:
    """The file, or why there is none to be used."""
    try:
        data = await read(path)
    except InvalidInput as error:
        return "; ".join(p.message for p in error.problems)
    if data is None:
        return f"there is no file {path}"
    documents = (await parse({path: data}))[path]
    if documents.problems:
        return "; ".join(str(p) for p in documents.problems)
    if len(documents.values) != 1:
        return f"{path} holds {len(documents.values)} documents; ALMA reads a file of SOPS with one"
    try:
        return read_sops(path, blob_id(data), documents.values[0])
    except ValueError as error:
        return str(error)
