"""Where scopes come from: Git objects read by commit id (I35), parsed, cached by content, under the server's allowance.

A scope's *content id* stands for everything that decides what it wants: the tree below its path and its entry in
`alma.yaml`. Equal content ids want equal things, so nothing is loaded twice and untouched scopes are skipped for free.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Generic, TypeVar

import orjson

from controller.blueprint.attached import own_files
from controller.blueprint.entry import Entry
from controller.blueprint.limits import DEFAULT_LIMITS, Limits
from controller.blueprint.loader import LoadedScope, ParsedBlueprint, check_sizes, load_scope, parse_blueprint
from controller.blueprint.repository import REPOSITORY_FILE, Repository, ScopeConfig, blueprint_files, load_repository
from controller.blueprint.sops import SopsFile
from controller.errors import AlmaError, InvalidInput, Problem, RefusedByPolicy, Unreachable
from controller.git.repository import Mirror
from controller.git.signature import Signers
from controller.plan.codec import to_json
from controller.plan.resource import Allow
from controller.runtime.attaching import Attaching
from controller.runtime.decide import ScopePolicy
from controller.runtime.parse_worker import ParseWorker
from controller.runtime.planning import Wanted, where_named
from controller.runtime.records import ScopeRecord
from controller.runtime.scope_head import ScopeHead
from controller.runtime.scope_policy import at_least, policy_of
from controller.runtime.sops_files import sops_files, with_sops

_KEPT = 2_000
_VERSIONS_MAX = 50  # of alma.yaml between two deploys, newest first
_SUFFIXES = (".yaml", ".yml", ".json")
TREE = "tree:"  # before the id of a tree that is no commit's: a merge preview
T = TypeVar("T")


class _Kept(Generic[T]):
    """The newest results, by key."""

    def __init__(self, most: int) -> None:
        self._most, self._items = most, OrderedDict[str, T]()

    def get(self, key: str) -> T | None:
        if key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def put(self, key: str, item: T) -> None:
        self._items[key] = item
        if len(self._items) > self._most:
            self._items.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Granted:
    """What the server gives one repository: its targets per engine, and what blueprints may ask for."""

    targets: Mapping[str, tuple[str, ...]]
    allow: Allow
    offered: frozenset[str] = frozenset()  # targets that count only where an entry names their engine


@dataclass(frozen=True, slots=True)
class Signing:
    """Whose commits one repository takes, and what day it is."""

    signers: Signers
    today: Callable[[], date]


class RepositorySource:
    """One repository: its mirror, its `alma.yaml` at any commit, its scopes' content."""

    def __init__(
        self,
        name: str,
        mirror: Mirror,
        granted: Granted,
        default_scope: str = "default",
        worker: ParseWorker | None = None,
        attaching: Attaching | None = None,
        signing: Signing | None = None,
        approvals: int = 0,
    ) -> None:
        self.name, self.mirror, self.granted, self._worker = name, mirror, granted, worker
        self._attaching, self._signing, self.approvals = attaching or Attaching({}, worker), signing, approvals
        self.head: str | None = None  # of the tracked branch, at the last look
        self._default_scope = default_scope
        self._configs: _Kept[Repository] = _Kept(50)
        self._loaded: _Kept[LoadedScope | InvalidInput] = _Kept(_KEPT)
        self._parsed: _Kept[ParsedBlueprint] = _Kept(_KEPT * 5)

    @property
    def signed_only(self) -> bool:
        """Whether nothing is deployed that is not signed."""
        return self._signing is not None

    async def config(self, revision: str) -> Repository:
        """`alma.yaml` at a commit, or at a tree written as `tree:ID`. Raises InvalidInput with every mistake."""
        known = self._configs.get(revision)
        if known is None:
            text = await self._file(revision, REPOSITORY_FILE)
            known = load_repository(text, default_scope=self._default_scope)
            self._configs.put(revision, known)
        return known

    async def content_id(self, revision: str, scope: ScopeConfig) -> str:
        """Equal ids want equal things."""
        tree = await self.mirror.tree_id(_object(revision), "" if scope.path == "." else scope.path)
        text = orjson.dumps([tree, to_json(scope)], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(text).hexdigest()[:40]

    async def wanted(self, revision: str, scope: ScopeConfig, prices: str | None = None) -> Wanted:
        """What the scope wants at a commit or tree. Raises InvalidInput."""
        content = await self.content_id(revision, scope)
        loaded = self._loaded.get(content)
        if loaded is None:
            loaded = await self._load(revision, scope, prices)
            self._loaded.put(content, loaded)
        if isinstance(loaded, InvalidInput):
            raise loaded
        targets = self._placed(scope, loaded.entries)
        wanted = Wanted(scope.name, revision, loaded.entries, targets, self.granted.allow, content, scope.outputs)
        return replace(wanted, sops=loaded.sops)

    async def sops(self, revision: str, paths: Collection[str]) -> Mapping[str, SopsFile]:
        """The encrypted files at these paths of a commit. Raises InvalidInput."""
        return await sops_files(paths, partial(self._file, revision), self._attaching.documents)

    async def prices(self, revision: str, config: Repository) -> bytes | None:
        """The repository's price book at a commit, if it names one that is there."""
        if config.prices is None:
            return None
        return await self._file(revision, config.prices)

    async def unsigned(self, since: str | None, until: str) -> str:
        """Why the commits from `since` (None: the first) to `until` may not be deployed, with the next step; empty
        where all are signed, or need not be (I47)."""
        if self._signing is None:
            return ""
        bases, today = [since] if since else [], self._signing.today()
        why = await self.mirror.signature_refusal(self._signing.signers, bases, until, today)
        step = f"sign it and push again, or vouch for it on the server: repositories.{self.name}.signatures"
        return f"{why}: {step}" if why else ""

    def targets(self, scope: ScopeConfig) -> Mapping[str, tuple[str, ...]]:
        """Engine → targets of the scope, all of them granted. Raises InvalidInput for one that is not."""
        if not scope.targets:
            several = [engine for engine, names in self.granted.targets.items() if len(names) > 1]
            if several:
                text = f"scope {scope.name} names no targets, and the server has several for {several[0]}"
                raise InvalidInput(text, hint=f"write targets: {{{several[0]}: NAME}} for it in {REPOSITORY_FILE}")
            return self.granted.targets
        problems = [
            Problem(None, f"scope {scope.name}: {engine} target {name} is not granted to repository {self.name}")
            for engine, names in scope.targets.items()
            for name in names
            if name not in self.granted.targets.get(engine, ())
        ]
        if problems:
            raise InvalidInput(problems, hint=f"the server grants it under allow.{self.name}.targets")
        return scope.targets

    def _placed(self, scope: ScopeConfig, entries: Sequence[Entry]) -> Mapping[str, tuple[str, ...]]:
        targets = self.targets(scope)
        return targets if scope.targets else where_named(targets, self.granted.offered, entries)

    async def _file(self, revision: str, path: str) -> bytes | None:
        read = self.mirror.file_of_tree if revision.startswith(TREE) else self.mirror.file
        return await read(_object(revision), path)

    async def _files(self, revision: str, folder: str) -> Mapping[str, bytes]:
        read = self.mirror.files_of_tree if revision.startswith(TREE) else self.mirror.files
        return await read(_object(revision), folder, _SUFFIXES)

    async def blueprints(self, revision: str, scope: ScopeConfig, prices: str | None) -> Mapping[str, bytes]:
        """The text of the scope's blueprints at a commit or tree. Raises InvalidInput."""
        own = own_files(await self._files(revision, "" if scope.path == "." else scope.path))
        return {f: own[f] for f in blueprint_files(own, scope, prices)}

    async def _load(self, revision: str, scope: ScopeConfig, prices: str | None) -> LoadedScope | InvalidInput:
        try:
            kept = await self.blueprints(revision, scope, prices)
            if revision.startswith(TREE):
                await self._parse_apart(kept)
            loaded = load_scope(kept, scope, DEFAULT_LIMITS, self._parse)
            read = partial(self._below, revision)
            placed = replace(scope, targets=self._placed(scope, loaded.entries))
            entries = await self._attaching.attached(loaded.entries, placed, read)
            entries, found = await with_sops(entries, scope, partial(self._file, revision), self._attaching.documents)
            return replace(loaded, entries=entries, sops=found)
        except InvalidInput as e:
            return e

    async def _below(self, revision: str, path: str) -> Mapping[str, bytes]:
        """The file at `path`, or every file below it, of whatever name."""
        one = await self._file(revision, path) if "." in path.rpartition("/")[2] else None
        if one is not None:
            return {path: one}
        read = self.mirror.files_of_tree if revision.startswith(TREE) else self.mirror.files
        return await read(_object(revision), path, ("",))

    async def _parse_apart(self, files: Mapping[str, bytes]) -> None:
        """What a pull request brings is parsed in the worker; what the tracked branch has too is known already."""
        fresh = {f: d for f, d in files.items() if self._parsed.get(_parse_key(f, d)) is None}
        if self._worker is None or not fresh:
            return
        check_sizes({f: len(d) for f, d in files.items()}, DEFAULT_LIMITS)
        for file, parsed in (await self._worker.parse(fresh, DEFAULT_LIMITS)).items():
            self._parsed.put(_parse_key(file, fresh[file]), parsed)

    def _parse(self, file: str, data: bytes, limits: Limits) -> ParsedBlueprint:
        key = _parse_key(file, data)
        known = self._parsed.get(key)
        if known is None:
            known = parse_blueprint(file, data, limits)
            self._parsed.put(key, known)
        return known


class GitSource:
    """All repositories, as the reconciler asks for scopes."""

    def __init__(self, repositories: Mapping[str, RepositorySource]) -> None:
        self._repositories = repositories

    def repository(self, name: str) -> RepositorySource | None:
        return self._repositories.get(name)

    async def head(self, record: ScopeRecord) -> ScopeHead | None:
        """The scope at its pin, else at the tracked branch. None: no repository or alma.yaml names it any more. Raises
        Unreachable while its repository was not read."""
        repository = self._repositories.get(record.repository)
        if repository is None:
            return None
        if repository.head is None:
            # Not read yet is not gone (I9).
            raise Unreachable(f"repository {repository.name} was not read yet", hint="its remote is tried again")
        unsigned = await repository.unsigned(record.good_revision, repository.head)
        if unsigned:
            return await self._untrusted(repository, record, RefusedByPolicy(unsigned))
        try:
            config = await repository.config(repository.head)
        except InvalidInput as e:
            return await self._unreadable(repository, record, e)
        scope = config.scope(record.scope)
        if scope is None:
            return None
        revision, pinned = repository.head, False
        if record.pin and record.pin.held_tree == await repository.content_id(repository.head, scope):
            revision, pinned = record.pin.revision, True
        head = await self._head(repository, config, scope, revision, pinned)
        before = await self._policies_before(repository, record)
        return replace(head, policy=at_least(head.policy, before, repository.approvals))

    async def _policies_before(self, repository: RepositorySource, record: ScopeRecord) -> list[ScopePolicy]:
        """What alma.yaml said of the scope in each of its versions since it was deployed last, and then: that one is
        the last."""
        good, head = record.good_revision, repository.head
        if good is None or head is None or good == head:
            return []
        since = await repository.mirror.log(REPOSITORY_FILE, good, head, _VERSIONS_MAX)
        found = []
        for revision in (*(c.id for c in since), good):
            try:
                config = await repository.config(revision)
            except InvalidInput:
                continue
            scope = config.scope(record.scope)
            found += [policy_of(config, scope)] if scope else []
        return found

    async def _untrusted(
        self, repository: RepositorySource, record: ScopeRecord, problem: RefusedByPolicy
    ) -> ScopeHead | None:
        """The head holds what nobody signed: not even its alma.yaml is read. A rollback among what was signed goes on,
        and the last good state says how to heal."""
        assert repository.head is not None, "checked by the caller"
        good = record.good_revision
        if good is None:
            return ScopeHead(
                record.scope, repository.name, record.path, repository.head, "", ScopePolicy(), problem=problem
            )
        config = await repository.config(good)
        scope = config.scope(record.scope)
        if record.pin and scope and not await repository.unsigned(good, record.pin.revision):
            return await self._head(repository, config, scope, record.pin.revision, True)
        return await self._unreadable(repository, record, problem)

    async def _unreadable(
        self, repository: RepositorySource, record: ScopeRecord, problem: InvalidInput | RefusedByPolicy
    ) -> ScopeHead | None:
        """alma.yaml at the head is broken: the last good one still says how to heal, nothing else runs."""
        assert repository.head is not None, "checked by the caller"
        if record.good_revision is None:
            raise problem
        config = await repository.config(record.good_revision)
        scope = config.scope(record.scope)
        if scope is None:
            raise problem
        policy = policy_of(config, scope)
        return ScopeHead(record.scope, repository.name, record.path, repository.head, "", policy, problem=problem)

    async def _head(
        self, repository: RepositorySource, config: Repository, scope: ScopeConfig, revision: str, pinned: bool
    ) -> ScopeHead:
        content = await repository.content_id(revision, scope)
        head = ScopeHead(
            scope=scope.name,
            repository=repository.name,
            path=scope.path,
            revision=revision,
            tree=content,
            policy=policy_of(config, scope),
            pinned=pinned,
        )
        try:
            return replace(head, wanted=await repository.wanted(revision, scope, config.prices))
        except AlmaError as e:
            return replace(head, problem=e)

    async def content(self, record: ScopeRecord, revision: str) -> str | None:
        """The content id a scope has at a revision, None if it is not in alma.yaml there."""
        repository = self._repositories.get(record.repository)
        if repository is None:
            return None
        scope = (await repository.config(revision)).scope(record.scope)
        return await repository.content_id(revision, scope) if scope else None

    async def at(self, record: ScopeRecord, revision: str) -> Wanted:
        """The scope's content at an older revision."""
        repository = self._repositories[record.repository]
        config = await repository.config(revision)
        scope = config.scope(record.scope)
        if scope is None:
            raise InvalidInput(f"{revision[:8]} has no scope {record.scope}")
        return await repository.wanted(revision, scope, config.prices)

    async def includes(self, repository: str, older: str, newer: str) -> bool:
        """True if `older` is reachable from `newer`."""
        return older == newer or await self._repositories[repository].mirror.is_ancestor(older, newer)


def _parse_key(file: str, data: bytes) -> str:
    return f"{file}\0{hashlib.sha256(data).hexdigest()}"


def _object(revision: str) -> str:
    """The Git object behind a revision: a commit, or the tree of a merge preview."""
    return revision.removeprefix(TREE)
