"""Signed commits (I47): every commit since the last deployed one, by keys that the server's configuration names.

A key list in a repository never counts, and no author or committer field authorises anything: an address can only
narrow what a key may sign. Signatures are read from Git objects and verified in this process, in memory-safe code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

import pygit2
from pygit2.enums import SortMode
from pysequoia import Cert, Sig, verify

from controller.errors import InvalidInput
from controller.git.objects import commit_of, reading
from controller.git.ssh_signature import BEGIN as SSH_BEGIN
from controller.git.ssh_signature import SshKey, SshSignature

COMMITS_MAX: Final = 2_000
_SIGNATURE_BYTES_MAX: Final = 64 * 1024
_PAYLOAD_BYTES_MAX: Final = 2**20
_GPG_BEGIN: Final = b"-----BEGIN PGP SIGNATURE-----"


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose commits count. `until`: the last day; `emails`: the committer's address must be one of them, where any is
    named."""

    name: str
    key: SshKey | Cert
    emails: frozenset[str] = frozenset()
    until: date | None = None

    def past(self, today: date) -> str:
        """Why this key counts no more, or empty."""
        last = self.until
        if not isinstance(self.key, SshKey):
            if self.key.is_revoked:
                return "is revoked"
            ends: datetime | None = self.key.expiration
            last = min((d for d in (last, ends.date() if ends else None) if d), default=None)
        return f"expired on {last.isoformat()}" if last and last < today else ""


@dataclass(frozen=True, slots=True)
class SignedCommit:
    """One commit as it was signed. `signature` is empty where there is none."""

    id: str
    email: str
    signature: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Signers:
    """The keys of one repository; `since`: a commit up to which the server's administrator vouches for everything."""

    signers: tuple[Signer, ...]
    since: str | None = None
    _known: dict[str, Signer] = field(default_factory=dict, repr=False)  # commit → who signed it; ids never change

    def refusal(self, repo: pygit2.Repository, since: Collection[str], until: str, today: date) -> str:
        """Why `until` may not be deployed where `since` was: the newest commit between that is not signed as it should
        be. Empty where all are."""
        bases = [c for c in (*since, *([self.since] if self.since else [])) if _is_here(repo, c)]
        for seen, commit in enumerate(_between(repo, bases, until)):
            if seen >= COMMITS_MAX:
                return f"commit {str(commit.id)[:12]} is more than {COMMITS_MAX} commits back, too far to be checked"
            why = self._refused(repo, commit, today)
            if why:
                return f"commit {str(commit.id)[:12]} {why}"
        return ""

    def _refused(self, repo: pygit2.Repository, commit: pygit2.Commit, today: date) -> str:
        signer = self._known.get(str(commit.id))
        if signer is None:
            found = self.judge(_read(repo, commit))
            if isinstance(found, str):
                return found
            self._known[str(commit.id)] = signer = found
        past = signer.past(today)
        return f"is signed with the key of {signer.name}, which {past}" if past else ""

    def judge(self, commit: SignedCommit) -> Signer | str:
        """Who signed a commit, or why that is nobody's."""
        if not commit.signature:
            return "is not signed"
        if len(commit.signature) > _SIGNATURE_BYTES_MAX or len(commit.payload) > _PAYLOAD_BYTES_MAX:
            return "is too large to be checked"
        if commit.signature.startswith(SSH_BEGIN):
            found = self._by_ssh(commit)
        elif commit.signature.startswith(_GPG_BEGIN):
            found = self._by_gpg(commit)
        else:
            return "has a signature that is neither SSH nor OpenPGP"
        if isinstance(found, Signer) and found.emails and commit.email not in found.emails:
            return f"is signed with the key of {found.name}, which is not for the address its committer gives"
        return found

    def _by_ssh(self, commit: SignedCommit) -> Signer | str:
        try:
            signature = SshSignature.read(commit.signature)
        except ValueError:
            return "has a signature that cannot be read"
        known = [(s, s.key) for s in self.signers if isinstance(s.key, SshKey) and s.key.blob == signature.key]
        if not known:
            return f"is signed with a key that the server does not know: {signature.fingerprint}"
        fitting = (signer for signer, key in known if key.signed(signature, commit.payload))
        return next(fitting, "has a signature that does not fit")

    def _by_gpg(self, commit: SignedCommit) -> Signer | str:
        signature = _openpgp_signature(commit.signature)
        if signature is None:
            return "has a signature that cannot be read"
        known = [(s, s.key) for s in self.signers if not isinstance(s.key, SshKey)]
        revoked = [s for s, cert in known if cert.is_revoked and _names(signature, cert)]
        if revoked:  # said as what it is; the library only says that no key fits
            return f"is signed with the key of {revoked[0].name}, which is revoked"
        made_by = _openpgp_signer(signature, commit.payload, [cert for _, cert in known])
        if made_by:
            return next(s for s, cert in known if cert.fingerprint == made_by)
        shown = signature.issuer_fingerprint or signature.issuer_key_id or "without a name"
        if any(_names(signature, cert) for _, cert in known):
            return "has a signature that does not fit"
        return f"has no signature by a key that the server knows; it names {shown[:40]}"


def read_ssh_key(name: str, line: str, emails: Sequence[str] = (), until: date | None = None) -> Signer:
    """A signer by the line of a `.pub` file. Raises InvalidInput."""
    return Signer(name, SshKey.read(line), frozenset(emails), until)


def read_gpg_key(name: str, data: bytes, emails: Sequence[str] = (), until: date | None = None) -> Signer:
    """A signer by an exported OpenPGP key, armoured or not. Raises InvalidInput."""
    try:
        cert = Cert.from_bytes(data)
    except RuntimeError:
        raise InvalidInput("is no OpenPGP public key", hint="gpg --armor --export ADDRESS > FILE") from None
    return Signer(name, cert, frozenset(emails), until)


def _is_here(repo: pygit2.Repository, commit: str) -> bool:
    return pygit2.Oid(hex=commit) in repo.odb


def _between(repo: pygit2.Repository, bases: Collection[str], until: str) -> Iterator[pygit2.Commit]:
    """Every commit in `until` and in none of `bases`, on all sides of every merge, newest first."""
    tip = commit_of(repo, until)
    with reading(f"the history of {until}"):
        walker = repo.walk(tip.id, SortMode.TOPOLOGICAL)
        for base in bases:
            walker.hide(commit_of(repo, base).id)
        yield from walker


def _read(repo: pygit2.Repository, commit: pygit2.Commit) -> SignedCommit:
    with reading(f"commit {commit.id}"):
        signature, payload = commit.gpg_signature
        email = commit.committer.raw_email.decode("utf-8", "backslashreplace")
        return SignedCommit(str(commit.id), email, signature or b"", payload or b"")


def _names(signature: Sig, cert: Cert) -> bool:
    return signature.issuer_fingerprint == cert.fingerprint


def _openpgp_signature(armoured: bytes) -> Sig | None:
    try:
        return Sig.from_bytes(armoured)
    except BaseException as error:  # a panic of the library is no Exception, and must end no controller (I34)
        _pass_on(error)
        return None


def _openpgp_signer(signature: Sig, payload: bytes, certs: list[Cert]) -> str | None:
    """The fingerprint of the certificate, out of `certs`, that made a good signature."""
    try:
        done = verify(bytes=payload, store=lambda ids: certs, signature=signature)
        return str(done.valid_sigs[0].certificate)
    except BaseException as error:
        _pass_on(error)
        return None


def _pass_on(error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        raise error
