"""One connection to a remote: list, fetch, push. Synchronous; the mirror calls it in its own thread.

A remote on this machine is a plain path. Fetching from it goes through libgit2; pushing to it copies objects and swaps
the reference ourselves, because libgit2 pushes to bare repositories only and cannot compare before it swaps there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pygit2
from pygit2.enums import ObjectType
from pygit2.remotes import RemoteHead

from controller.errors import AlmaError, InvalidInput, RefusedByPolicy, Unreachable
from controller.git.credentials import Callbacks, Disagreed, GitCredentials, Stopped, TransferLimits
from controller.git.objects import GIT_ERRORS, Damaged, reading, whole
from controller.git.url import RemoteUrl, branch_name

_HEADS: Final = "refs/heads/"
TRACKED: Final = "refs/remotes/origin/"
PINNED: Final = "refs/alma/commits/"
_TEXT_MAX: Final = 4096


class Moved(AlmaError):
    """The remote branch is not where the caller saw it; nothing was changed. Look again."""


@dataclass(frozen=True, slots=True)
class RefListing:
    """What a remote offers now. Only branches whose names `branch_name` allows are in it."""

    branches: Mapping[str, str]  # name → commit id
    default_branch: str | None
    others: Mapping[str, str]  # full reference name → object id: tags, pull requests


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote and how we talk to it. `cancel` ends a transfer within its next packet."""

    url: RemoteUrl
    login: GitCredentials
    timeout_s: float
    bytes_max: int
    clock: Callable[[], float] = time.monotonic

    def list_refs(self, repo: pygit2.Repository, cancel: threading.Event) -> RefListing:
        """One listing, nothing fetched. Raises Unreachable."""
        with self._told(repo):
            heads = self._open(repo).list_heads(callbacks=self._callbacks(cancel))
            return _listing(heads)

    def fetch(
        self,
        repo: pygit2.Repository,
        listing: RefListing,
        branches: Collection[str],
        commits: Collection[str],
        cancel: threading.Event,
    ) -> None:
        """Bring `branches` and `commits` into the mirror; drop tracked branches that the remote no longer has.

        Asks for nothing that is already there. Raises Unreachable, Damaged (the mirror itself is broken), and
        InvalidInput for a commit that the remote does not offer.
        """
        with reading("the list of branches"):
            _prune(repo, listing)
            specs = self._specs(repo, listing, branches, commits)
        if not specs:
            return
        with self._told(repo):
            self._open(repo).fetch(specs, callbacks=self._callbacks(cancel))
        for commit in commits:
            if pygit2.Oid(hex=commit) not in repo.odb:
                raise InvalidInput(f"the remote no longer offers commit {commit}", hint="it was replaced by a push")

    def push(
        self, repo: pygit2.Repository, commit: str, branch: str, expected_old: str | None, cancel: threading.Event
    ) -> None:
        """Set `branch` to `commit` if it is at `expected_old` (None: does not exist). Doing it again changes nothing.

        Raises Moved when it is elsewhere, RefusedByPolicy when the remote does not allow it, Unreachable.
        """
        if self.url.local:
            with self._told(repo):
                _push_local(repo, pygit2.Repository(self.url.text), commit, branch, expected_old)
            return
        self._push(repo, f"{commit}:{_HEADS}{branch}", branch, expected_old, cancel)

    def delete(self, repo: pygit2.Repository, branch: str, expected_old: str, cancel: threading.Event) -> None:
        """Remove `branch` if it is at `expected_old`; one that is gone already is fine. Raises as `push`."""
        if self.url.local:
            with self._told(repo):
                _delete_local(pygit2.Repository(self.url.text), branch, expected_old)
            return
        self._push(repo, f":{_HEADS}{branch}", branch, expected_old, cancel)

    def _push(
        self, repo: pygit2.Repository, spec: str, branch: str, expected_old: str | None, cancel: threading.Event
    ) -> None:
        callbacks = self._callbacks(cancel, expected_old)
        with self._told(repo):
            try:
                self._open(repo).push([spec], callbacks=callbacks)
            except Disagreed as error:
                raise _moved(branch, str(error), expected_old) from None
        if callbacks.rejected is not None:
            raise RefusedByPolicy(f"the remote did not take {branch}: {_plain(callbacks.rejected)}")

    def _specs(
        self, repo: pygit2.Repository, listing: RefListing, branches: Collection[str], commits: Collection[str]
    ) -> list[str]:
        moved = [
            name
            for name in branches
            if name in listing.branches and not _holds(repo, TRACKED + name, listing.branches[name])
        ]
        absent = [commit for commit in commits if pygit2.Oid(hex=commit) not in repo.odb]
        if self.url.local and (moved or absent):
            # On a path libgit2 sends every branch whatever is asked for; keeping them all saves the next copy.
            return [f"+{_HEADS}{name}:{TRACKED}{name}" for name in listing.branches]
        names = {oid: name for name, oid in listing.others.items()}
        names.update({oid: _HEADS + name for name, oid in listing.branches.items()})
        wanted = [f"+{names.get(commit, commit)}:{PINNED}{commit}" for commit in absent]
        return [f"+{_HEADS}{name}:{TRACKED}{name}" for name in moved] + wanted

    def _open(self, repo: pygit2.Repository) -> pygit2.Remote:
        if self.url.local and not Path(self.url.text).is_dir():
            raise Unreachable(f"there is no repository at {self.url}", hint="create it, or correct `url:`")
        return repo.remotes.create_anonymous(self.url.text)

    def _callbacks(self, cancel: threading.Event, expected: str | None = None) -> Callbacks:
        limits = TransferLimits(self.bytes_max, self.clock() + self.timeout_s, cancel, self.clock)
        return Callbacks(self.url, self.login, limits, expected)

    @contextmanager
    def _told(self, repo: pygit2.Repository) -> Iterator[None]:
        """Every failure as one of ours: the mirror's own damage, or a remote that does not answer (I28)."""
        try:
            yield
        except AlmaError:
            raise
        except (Stopped, pygit2.errors.AuthError) as error:
            reason = str(error) if isinstance(error, Stopped) else "the remote refused our credentials"
            raise Unreachable(f"{self.url}: {reason}", hint="check `url:` and the credentials") from None
        except GIT_ERRORS as error:
            if not whole(repo):
                raise Damaged("the mirror is damaged") from None
            raise Unreachable(f"{self.url}: {self._redacted(error)}", hint="check `url:` and the network") from None

    def _redacted(self, error: Exception) -> str:
        text = str(error.args[0]) if error.args else type(error).__name__
        secrets = (self.login.token, self.login.ssh_passphrase)
        for secret in filter(None, secrets):
            text = text.replace(secret, "•••")
        return _plain(text)


def _listing(heads: list[RemoteHead]) -> RefListing:
    branches: dict[str, str] = {}
    others: dict[str, str] = {}
    default: str | None = None
    for head in heads:
        name = head.name or ""
        if name == "HEAD":
            default = (head.symref_target or "").removeprefix(_HEADS) or None
        elif name.startswith(_HEADS) and _allowed(name.removeprefix(_HEADS)):
            branches[name.removeprefix(_HEADS)] = str(head.oid)
        elif name.startswith("refs/") and _allowed(name):
            others[name] = str(head.oid)
    return RefListing(branches, default if default in branches else None, others)


def _allowed(name: str) -> bool:
    try:
        return bool(branch_name(name))
    except InvalidInput:
        return False


def _prune(repo: pygit2.Repository, listing: RefListing) -> None:
    for name in [ref for ref in repo.references if ref.startswith(TRACKED)]:
        if name.removeprefix(TRACKED) not in listing.branches:
            repo.references.delete(name)


def _holds(repo: pygit2.Repository, reference: str, commit: str) -> bool:
    found = repo.references.get(reference)
    return found is not None and str(found.target) == commit and found.target in repo.odb


def _push_local(
    mirror: pygit2.Repository, remote: pygit2.Repository, commit: str, branch: str, expected_old: str | None
) -> None:
    found = remote.references.get(_HEADS + branch)
    now = str(found.target) if found else None
    if now == commit:
        return
    if now != expected_old:
        raise _moved(branch, now, expected_old)
    _refuse_checked_out(remote, branch)
    if now is not None and not mirror.descendant_of(pygit2.Oid(hex=commit), pygit2.Oid(hex=now)):
        raise RefusedByPolicy(f"{commit} does not contain what {branch} holds; history is never overwritten")
    _copy(mirror, remote, pygit2.Oid(hex=commit))
    try:
        if found is None:
            remote.references.create(_HEADS + branch, pygit2.Oid(hex=commit), force=False)
        else:
            found.set_target(pygit2.Oid(hex=commit))  # libgit2 compares with what was read above
    except GIT_ERRORS:
        raise _moved(branch, None, expected_old) from None


def _delete_local(remote: pygit2.Repository, branch: str, expected_old: str) -> None:
    found = remote.references.get(_HEADS + branch)
    if found is None:
        return
    if str(found.target) != expected_old:
        raise _moved(branch, str(found.target), expected_old)
    _refuse_checked_out(remote, branch)
    found.delete()


def _refuse_checked_out(remote: pygit2.Repository, branch: str) -> None:
    """Moving the branch under somebody's files would turn our commit into their uncommitted undo of it."""
    if not remote.is_bare and remote.references["HEAD"].target == _HEADS + branch:
        raise RefusedByPolicy(
            f"{branch} is checked out in {remote.workdir}", hint="use a bare repository, or check out another branch"
        )


def _copy(source: pygit2.Repository, target: pygit2.Repository, root: pygit2.Oid) -> None:
    """Every object that `root` needs and `target` lacks, children first: what is there is there completely."""
    stack = [(root, False)]
    while stack:
        oid, expanded = stack.pop()
        if oid in target.odb:
            continue
        kind, data = source.odb.read(oid)
        if expanded or kind == ObjectType.BLOB:
            target.odb.write(kind, data)
            continue
        stack.append((oid, True))
        stack.extend((child, False) for child in _children(source[oid]))


def _children(found: object) -> list[pygit2.Oid]:
    if isinstance(found, pygit2.Commit):
        return [*found.parent_ids, found.tree_id]
    if isinstance(found, pygit2.Tree):
        return [entry.id for entry in found if entry.type_str != "commit"]
    return []


def _moved(branch: str, now: str | None, expected_old: str | None) -> Moved:
    return Moved(
        f"{branch} is at {now or 'no commit'}, not at {expected_old or 'no commit'}; nothing was pushed",
        hint="fetch it and look again",
    )


def _plain(text: str) -> str:
    """Text of another, without control characters, at most 4 KiB (I28, I45)."""
    return "".join(char if char.isprintable() else " " for char in text)[:_TEXT_MAX].strip()
