"""Signed commits (I47, E22): made with the real gpg, ssh-keygen and git, judged from Git objects alone."""

from __future__ import annotations

import base64
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import pygit2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.errors import InvalidInput
from controller.git.signature import Signer, Signers, read_gpg_key, read_ssh_key
from tests.controller.git.origin import Origin
from tests.servers.signing import Workshop

pytestmark = pytest.mark.signing
TODAY = date(2026, 11, 29)
_SSH_KINDS = (("ed", "ed25519", None), ("p256", "ecdsa", 256), ("p384", "ecdsa", 384), ("p521", "ecdsa", 521))
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Keys:
    """Everyone's keys: `known` are those of the server."""

    shop: Workshop
    ssh: dict[str, str]

    def signers(self, *more: Signer, without: str = "") -> Signers:
        known = [read_ssh_key(name, line) for name, line in self.ssh.items() if name != "mallory"]
        known += [read_gpg_key(n, self.shop.gpg_public(n)) for n in ("gina", "greta", "old", "gone")]
        return Signers(tuple(s for s in known if s.name != without) + more)


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    with tempfile.TemporaryDirectory(prefix="sg") as root:
        shop = Workshop(Path(root))
        ssh = {name: shop.ssh_key(name, kind, bits) for name, kind, bits in _SSH_KINDS}
        ssh |= {"rsa": shop.ssh_key("rsa", "rsa", 3072), "mallory": shop.ssh_key("mallory")}
        for name in ("gina", "gone", "gmallory"):
            shop.gpg_key(name)
        shop.gpg_key("greta", "rsa3072")
        shop.gpg_subkey("gina")
        shop.gpg_key("old", at="20200101T000000", until="2020-02-01")
        yield Keys(shop, ssh)
        shop.close()


@dataclass
class Story:
    """A history that begins with a commit which was deployed."""

    origin: Origin
    keys: Keys
    deployed: str

    def commit(self, sign: Sign | None, *parents: str, email: str = "one@example.org", author: str = "") -> str:
        """A commit on `parents` (else the deployed one), signed by `sign` over exactly its bytes."""
        repo = self.origin.repo
        above = parents or (self.deployed,)
        tree = repo[above[0]].peel(pygit2.Commit).tree_id
        committer = pygit2.Signature("Some One", email, 1_700_000_100, 0)
        written = pygit2.Signature("Some One", author or email, 1_700_000_100, 0)
        above_ids: list[str | pygit2.Oid] = [pygit2.Oid(hex=p) for p in above]
        # pygit2 types this text as an id.
        text = str(repo.create_commit_string(written, committer, "A change\n", tree, above_ids))
        if sign is None:
            return str(repo.odb.write(pygit2.enums.ObjectType.COMMIT, text.encode()))
        return str(repo.create_commit_with_signature(text, sign(text.encode()).decode("latin-1")))

    def ssh(self, name: str, namespace: str = "git") -> Sign:
        return lambda payload: self.keys.shop.ssh_sign(name, payload, namespace)

    def gpg(self, name: str, at: str = "") -> Sign:
        return lambda payload: self.keys.shop.gpg_sign(name, payload, at)

    def refusal(self, head: str, signers: Signers | None = None, since: str | None = None) -> str:
        chosen = signers or self.keys.signers()
        return chosen.refusal(self.origin.repo, [since or self.deployed], head, TODAY)

    def in_a_checkout(self, *settings: str) -> str:
        """`git commit -S` by git itself, on top of the deployed commit."""
        work = self.origin.path.parent / "work"
        run = ["git", "-C", str(work)]
        named = ["-c", "user.name=t", "-c", "user.email=t@example.org", *settings]
        for command in (
            ["git", "clone", "-q", str(self.origin.path), str(work)],
            [*run, *named, "commit", "-q", "-S", "--allow-empty", "-m", "Signed\n\nwith a body"],
            [*run, "push", "-q", "origin", "HEAD:signed"],
        ):
            subprocess.run(command, check=True, capture_output=True, env=self.keys.shop.environment)
        return str(self.origin.tip("signed"))


@pytest.fixture
def story(origin: Origin, keys: Keys) -> Story:
    return Story(origin, keys, origin.first({"alma.yaml": b"version: 1\n"}))


Case = tuple[str, Callable[[Story], str], str]
_BROKEN = b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----"
GOOD: list[tuple[str, Callable[[Story], str]]] = [
    *((f"ssh {n}", lambda s, n=n: s.commit(s.ssh(n))) for n in ("ed", "p256", "p384", "p521", "rsa")),
    ("gpg with a subkey", lambda s: s.commit(s.gpg("gina"))),
    ("gpg rsa", lambda s: s.commit(s.gpg("greta"))),
    ("several, by several people", lambda s: s.commit(s.ssh("ed"), s.commit(s.gpg("greta"), s.commit(s.ssh("rsa"))))),
    ("a merge, all signed", lambda s: s.commit(s.ssh("ed"), s.commit(s.ssh("ed")), s.commit(s.gpg("gina")))),
    ("git commit -S with ssh", lambda s: s.in_a_checkout(
        "-c", "gpg.format=ssh", "-c", f"user.signingkey={s.keys.shop.ssh_file('ed')}")),
    ("git commit -S with gpg", lambda s: s.in_a_checkout("-c", "user.signingkey=gina@example.org")),
    ("nothing new", lambda s: s.deployed),
]  # fmt: skip
BAD: list[Case] = [
    ("unsigned", lambda s: s.commit(None), "is not signed"),
    ("unknown ssh", lambda s: s.commit(s.ssh("mallory")), "a key that the server does not know: SHA256:"),
    ("unknown gpg", lambda s: s.commit(s.gpg("gmallory")), "no signature by a key that the server knows"),
    ("expired gpg", lambda s: s.commit(s.gpg("old", "20200115T000000")), "old, which expired on 2020-02-01"),
    ("ssh over other bytes", lambda s: s.commit(lambda p: s.ssh("ed")(p + b"x")), "a signature that does not fit"),
    ("rsa over other bytes", lambda s: s.commit(lambda p: s.ssh("rsa")(p + b"x")), "a signature that does not fit"),
    ("ecdsa over other bytes", lambda s: s.commit(lambda p: s.ssh("p384")(p + b"x")), "a signature that does not fit"),
    ("gpg over other bytes", lambda s: s.commit(lambda p: s.gpg("greta")(p + b"x")), "signature that does not fit"),
    ("made for a file", lambda s: s.commit(s.ssh("ed", "file")), "a signature that does not fit"),
    ("unreadable", lambda s: s.commit(lambda p: _BROKEN), "a signature that cannot be read"),
    ("cut short", lambda s: s.commit(lambda p: _cut(s.ssh("ed")(p))), "a signature that cannot be read"),
    ("gpg, empty", lambda s: s.commit(lambda p: _gpg_armour(b"")), "a signature that cannot be read"),
    ("gpg, no packet", lambda s: s.commit(lambda p: _gpg_armour(b"AAAA\n=AAAA")), "a signature that cannot be read"),
    ("x509", lambda s: s.commit(lambda p: b"-----BEGIN SIGNED MESSAGE-----\nAAAA"), "neither SSH nor OpenPGP"),
    ("too large", lambda s: s.commit(lambda p: s.ssh("ed")(p) + b"x" * 70_000), "is too large"),
    ("author spoofed", lambda s: s.commit(None, author="ed@example.org"), "is not signed"),
    ("author spoofed, signed", lambda s: s.commit(s.ssh("mallory"), email="ed@example.org"), "does not know"),
    ("below a signed one", lambda s: s.commit(s.ssh("ed"), s.commit(None)), "is not signed"),
    ("between signed ones", lambda s: s.commit(s.ssh("ed"), s.commit(None, s.commit(s.ssh("ed")))), "is not signed"),
    ("an unsigned side", lambda s: s.commit(s.ssh("ed"), s.commit(s.ssh("ed")), s.commit(None)), "not signed"),
    ("a merge by the forge", lambda s: s.commit(s.gpg("gmallory"), s.commit(s.ssh("ed"))), "no signature by a key"),
    ("an unsigned merge", lambda s: s.commit(None, s.commit(s.ssh("ed")), s.commit(s.ssh("ed"))), "is not signed"),
    ("only a tag is signed", lambda s: _tagged(s), "is not signed"),
]  # fmt: skip


@pytest.mark.parametrize(("make"), [make for _, make in GOOD], ids=[name for name, _ in GOOD])
def test_what_known_keys_signed_may_be_deployed(
    story: Story, make: Callable[[Story], str], report_n: Callable[..., None]
) -> None:
    assert story.refusal(make(story)) == ""
    report_n("E22", 1)


@pytest.mark.parametrize(("make", "why"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_no_known_key_signed_is_refused_with_the_commit_named(
    story: Story, make: Callable[[Story], str], why: str, report_n: Callable[..., None]
) -> None:
    told = story.refusal(make(story))
    assert why in told and told.startswith("commit ")
    report_n("E22", 1)


def test_the_commit_that_is_named_is_the_one_that_is_wrong(story: Story, report_n: Callable[..., None]) -> None:
    wrong = story.commit(None, story.commit(story.ssh("ed")))
    assert story.refusal(story.commit(story.ssh("ed"), wrong)) == f"commit {wrong[:12]} is not signed"
    report_n("E22", 1)


def test_a_revoked_key_counts_no_more(story: Story, report_n: Callable[..., None]) -> None:
    head = story.commit(story.gpg("gone"))
    assert story.refusal(head) == ""
    story.keys.shop.gpg_revoke("gone")
    assert "gone, which is revoked" in story.refusal(head)
    report_n("E22", 2)


def test_a_key_that_was_replaced_counts_no_more_and_the_new_one_does(
    story: Story, report_n: Callable[..., None]
) -> None:
    after = story.keys.signers(without="ed")
    assert "does not know" in story.refusal(story.commit(story.ssh("ed")), after)
    assert story.refusal(story.commit(story.ssh("rsa")), after) == ""
    report_n("E22", 2)


@pytest.mark.parametrize("kind", ["ssh", "gpg"])
def test_a_key_may_be_for_some_addresses_and_until_some_day(
    story: Story, kind: str, report_n: Callable[..., None]
) -> None:
    name = "ed" if kind == "ssh" else "greta"
    head = story.commit(story.ssh(name) if kind == "ssh" else story.gpg(name))

    def with_(*emails: str, until: date | None = None) -> Signers:
        if kind == "ssh":
            return Signers((read_ssh_key(name, story.keys.ssh[name], emails, until),))
        return Signers((read_gpg_key(name, story.keys.shop.gpg_public(name), emails, until),))

    assert story.refusal(head, with_("one@example.org", until=TODAY)) == ""
    assert "not for the address" in story.refusal(head, with_("two@example.org"))
    assert "expired on 2026-11-28" in story.refusal(head, with_(until=date(2026, 11, 28)))
    report_n("E22", 3)


def test_a_key_expires_while_its_commit_is_remembered(story: Story) -> None:
    head, signers = story.commit(story.ssh("ed")), story.keys.signers()
    until = Signers((read_ssh_key("ed", story.keys.ssh["ed"], until=TODAY),))
    assert story.refusal(head, signers) == story.refusal(head, until) == ""
    assert "expired" in until.refusal(story.origin.repo, [story.deployed], head, date(2026, 11, 30))


def test_keys_in_the_repository_never_count(story: Story, report_n: Callable[..., None]) -> None:
    listed = f"one@example.org {story.keys.ssh['mallory']}\n".encode()
    story.deployed = story.origin.commit({"allowed_signers": listed, ".gnupg/pub.asc": b"x"}, parents=[story.deployed])
    assert "does not know" in story.refusal(story.commit(story.ssh("mallory")))
    report_n("E22", 1)


def test_the_administrator_vouches_up_to_a_commit_and_no_further(story: Story, report_n: Callable[..., None]) -> None:
    unsigned = story.commit(None)
    head = story.commit(story.ssh("ed"), unsigned)
    known = story.keys.signers().signers
    assert story.refusal(head, Signers(known, since=unsigned)) == ""
    assert "is not signed" in story.refusal(story.commit(None, head), Signers(known, since=unsigned))
    report_n("E22", 2)


@pytest.mark.parametrize("base", ["0" * 40, "side"])
def test_a_base_that_is_not_in_the_history_hides_nothing(
    story: Story, base: str, report_n: Callable[..., None]
) -> None:
    """As after a force-push, or in a copy that is not whole: what cannot be told apart is checked."""
    side = story.origin.commit({"a": b"b"}, branch=None, parents=[])
    assert "is not signed" in story.refusal(story.commit(story.ssh("ed")), since=side if base == "side" else base)
    report_n("E22", 1)


def test_never_deployed_means_that_everything_is_checked(story: Story) -> None:
    told = story.keys.signers().refusal(story.origin.repo, [], story.commit(story.ssh("ed")), TODAY)
    assert told == f"commit {story.deployed[:12]} is not signed"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(data=st.data())
def test_no_altered_ssh_signature_counts(story: Story, data: st.DataObject) -> None:
    made = _made(story)
    raw = _unarmoured(made)
    place = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:place] + bytes([raw[place] ^ data.draw(st.integers(1, 255))]) + raw[place + 1 :]
    armoured = b"\n".join([made.split(b"\n")[0], base64.b64encode(changed), b"-----END SSH SIGNATURE-----"])
    signers = Signers((read_ssh_key("ed", story.keys.ssh["ed"]),))
    assert story.refusal(story.commit(lambda payload: armoured), signers).startswith("commit ")
    assert story.refusal(story.commit(lambda payload: made), signers) == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(raw=st.binary(max_size=400))
def test_no_bytes_in_the_place_of_a_signature_end_the_process(story: Story, raw: bytes) -> None:
    text, signers = base64.b64encode(raw), Signers((read_ssh_key("ed", story.keys.ssh["ed"]),))
    ssh = b"-----BEGIN SSH SIGNATURE-----\n" + text + b"\n-----END SSH SIGNATURE-----"
    for armoured in (_gpg_armour(text), ssh):
        assert story.refusal(story.commit(partial(_always, armoured)), signers).startswith("commit ")


_MADE: list[bytes] = []


def _made(story: Story) -> bytes:
    """A good signature over the commit that `story.commit` writes; made once, as the program takes its time."""
    if not _MADE:

        def sign(payload: bytes) -> bytes:
            _MADE.append(story.ssh("ed")(payload))
            return _MADE[0]

        story.commit(sign)
    return _MADE[0]


def _unarmoured(made: bytes) -> bytes:
    return base64.b64decode(b"".join(made.strip().split(b"\n")[1:-1]))


def _always(made: bytes, payload: bytes) -> bytes:
    return made


def _cut(armoured: bytes) -> bytes:
    lines = armoured.strip().split(b"\n")
    return b"\n".join([*lines[:2], lines[-1]])


def _gpg_armour(body: bytes) -> bytes:
    return b"-----BEGIN PGP SIGNATURE-----\n\n" + body + b"\n-----END PGP SIGNATURE-----"


def _tagged(story: Story) -> str:
    head = story.commit(None)
    text = f"object {head}\ntype commit\ntag v1\ntagger One <one@example.org> 1700000100 +0000\n\nv1\n".encode()
    signed = text + story.ssh("ed")(text)
    tag = story.origin.repo.odb.write(pygit2.enums.ObjectType.TAG, signed)
    story.origin.repo.references.create("refs/tags/v1", tag)
    return head


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "is no public key"),
        ("ssh-ed25519 AAAA", "is no public key"),
        ("ssh-ed25519 not/base64 me", "is no public key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "is no public key"),
    ],
)
def test_what_is_no_key_is_named(line: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read_ssh_key("ed", line)


def test_a_weak_key_and_one_of_another_kind_are_refused(keys: Keys) -> None:
    with pytest.raises(InvalidInput, match="1024 bits"):
        read_ssh_key("weak", keys.shop.ssh_key("weak", "rsa", 1024))
    with pytest.raises(InvalidInput, match="no OpenPGP public key"):
        read_gpg_key("gina", b"nothing")
