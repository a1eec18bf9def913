"""Deploys by hand with secrets that SOPS encrypted: the caller's own age identity opens them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.controller.cli.conftest import SHOP, Alma
from tests.servers.sops import Sops

USING = SHOP.replace("]}", '], env: {PASSWORD: {secret: "sops:app.yaml#password"}}}')


@pytest.fixture
def encrypted(sops: Sops, shop: Path) -> Path:
    """The shop with an encrypted file beside its blueprint."""
    _, recipient = sops.identity("key")
    (shop / "shop.yaml").write_text(USING)
    (shop / "app.yaml").write_text(sops.encrypt("app.yaml", "password: Can4ry-one\n", "--age", recipient))
    return shop


def test_the_identity_that_sops_would_find_opens_the_file(
    alma: Alma, encrypted: Path, sops: Sops, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(sops.root / "key"))
    assert alma("validate", encrypted).code == 0
    said = alma("deploy", encrypted, "--yes")
    assert said.code == 0, said
    again = alma("deploy", encrypted)
    assert again.last == "Nothing to do."
    changed = sops.edit(
        "app.yaml",
        (encrypted / "app.yaml").read_text(),
        '["password"]',
        '"Can4ry-two"',
        (sops.root / "key").read_text(),
    )
    (encrypted / "app.yaml").write_text(changed)
    shown = alma("plan", encrypted, "--detailed-exitcode")
    assert shown.code == 2
    assert "Can4ry" not in said.out + said.err + shown.out + shown.err
    kept = [f for f in (tmp_path / "state").rglob("*") if f.is_file()]
    assert kept
    assert not [f for f in kept if b"Can4ry" in f.read_bytes()]


def test_without_an_identity_the_place_and_the_next_step_are_told(alma: Alma, encrypted: Path) -> None:
    said = alma("deploy", encrypted, "--yes")
    assert said.code == 3
    column = USING.splitlines()[5].index("PASSWORD") + 1
    assert f"shop.yaml:6:{column}: resources.0.specs.env.PASSWORD: secret sops:app.yaml#password: " in said.err
    assert "no age identity" in said.err
