"""The key file, the mask and sealed prior state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.errors import InvalidInput
from controller.plan.step import Sealed
from controller.seal import Key, SealBroken, make_key, not_compared, read_key
from engines.engine import Seal, Values

KEY = Key.of(bytes(range(32)))
OTHER = Key.of(bytes(32))
PLAIN = b"s3cr3t prior state"


def test_what_was_sealed_opens_again() -> None:
    seal: Seal = KEY.sealer("op1")
    sealed = seal.seal(PLAIN)
    assert seal.open(sealed) == PLAIN
    assert KEY.op_of(sealed) == "op1"
    assert PLAIN not in sealed.blob.encode()


def test_undo_opens_what_another_op_sealed() -> None:
    sealed = KEY.sealer("op1").seal(PLAIN)
    values = Values(unseal=KEY.unseal)
    assert values.unseal is not None
    assert values.unseal(sealed) == PLAIN


def test_equal_texts_give_different_blobs_and_equal_masks() -> None:
    assert KEY.seal("op", PLAIN) != KEY.seal("op", PLAIN)
    assert KEY.mask("x") == KEY.mask("x")
    assert KEY.mask("x") != KEY.mask("y")
    assert KEY.mask("x") != OTHER.mask("x")


def test_a_blob_of_another_op_is_refused() -> None:
    with pytest.raises(SealBroken, match="another op"):
        KEY.sealer("op2").open(KEY.seal("op1", PLAIN))


def test_a_blob_under_another_key_says_which_key_is_missing() -> None:
    with pytest.raises(SealBroken, match=f"under key {OTHER.id}, the server has key {KEY.id}") as told:
        KEY.unseal(OTHER.seal("op", PLAIN))
    assert "former key_file" in told.value.hint


def test_every_changed_character_of_a_blob_is_noticed() -> None:
    blob = KEY.seal("op1", PLAIN).blob
    for at, character in enumerate(blob):
        changed = "A" if character != "A" else "B"
        with pytest.raises(SealBroken):
            KEY.unseal(Sealed(blob[:at] + changed + blob[at + 1 :]))
    for broken in ("", "x", "a.b.c.d", blob[:-1], blob + "A", blob + "=", blob[: blob.rindex(".") + 1], blob + "é"):
        with pytest.raises(SealBroken):
            KEY.unseal(Sealed(broken))


def test_no_repr_or_error_holds_key_or_text() -> None:
    key = Key.of(b"K" * 32)
    shown = repr(key) + repr(key.sealer("op"))
    assert "KKK" not in shown
    assert key._mask.hex() not in shown
    assert repr(key._seal) not in shown
    assert b"K" * 8 not in key._mask + key._seal


def test_without_a_key_nothing_is_compared() -> None:
    assert not_compared("x").keyed_hash is None


def test_a_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) == 32
    assert [p.name for p in path.parent.iterdir()] == ["key"]
    first = read_key(path)
    with pytest.raises(InvalidInput, match="key_file"):
        make_key(path)
    assert read_key(path).unseal(first.seal("op", PLAIN)) == PLAIN


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o620])
def test_a_key_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    make_key(path)
    path.chmod(mode)
    with pytest.raises(InvalidInput, match="by others") as told:
        read_key(path)
    assert told.value.hint == f"chmod 600 {path}"


def test_a_missing_short_long_or_odd_key_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(InvalidInput, match="No such file"):
        read_key(path)
    for size in (0, 31, 33):
        path.write_bytes(b"Z" * size)
        path.chmod(0o600)
        with pytest.raises(InvalidInput, match="exactly 32 bytes") as told:
            read_key(path)
        assert "ZZ" not in str(told.value)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(InvalidInput, match="not a regular file"):
        read_key(tmp_path / "pipe")
