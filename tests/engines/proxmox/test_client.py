"""Who answers is who was configured, and a wrong configuration is told with its key."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping

import pytest
import trustme

from controller.errors import InvalidInput
from engines.engine import EngineError, Refused, Transient
from engines.proxmox.client import at
from engines.proxmox.settings import settings
from tests.engines.proxmox.cluster import Cluster

GOOD: Mapping[str, object] = {"url": "https://pve:8006", "token": "alma@pve!ci=8c2b-secret"}


def fingerprint(cluster: Cluster) -> str:
    """SHA-256 of the certificate that the cluster shows."""
    pem = ssl.get_server_certificate(("127.0.0.1", cluster.serving.port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


async def test_a_certificate_is_taken_by_its_authority_or_its_fingerprint(cluster: Cluster) -> None:
    shown = fingerprint(cluster)
    colons = ":".join(shown[i : i + 2] for i in range(0, 64, 2)).upper()
    for config in ({}, {"ca": None, "fingerprint": shown}, {"ca": None, "fingerprint": colons}):
        engine = cluster.engine(**config)
        assert (await engine.about()).version == "Proxmox VE 9.1.9"
        await engine.close()


async def test_another_certificate_is_refused_before_the_token_is_sent(cluster: Cluster) -> None:
    other = cluster.folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    calls = cluster.calls()
    for config in ({"ca": str(other)}, {"ca": None, "fingerprint": "00" * 32}, {"ca": None}):
        engine = cluster.engine(**config)
        with pytest.raises(Refused, match="certificate"):
            await engine.about()
        await engine.close()
    assert cluster.calls() == calls


async def test_a_token_that_is_not_taken_is_told_without_being_shown(cluster: Cluster) -> None:
    engine = cluster.engine(token="alma@pve!controller=wrong-secret")
    with pytest.raises(Refused, match="does not take the API token") as told:
        await engine.about()
    assert "wrong-secret" not in str(told.value)
    await engine.close()


async def test_a_cluster_that_is_away_is_transient(cluster: Cluster) -> None:
    engine = cluster.engine(url="https://127.0.0.1:9")
    with pytest.raises(EngineError) as told:
        await engine.about()
    assert isinstance(told.value, Transient)
    await engine.close()


def test_no_name_leads_to_another_path() -> None:
    assert at("nodes", "../access", "qemu", 1) == "/nodes/..%2Faccess/qemu/1"
    assert at("pools", "a?b#c") == "/pools/a%3Fb%23c"
    for name in ("", ".", ".."):
        with pytest.raises(ValueError, match="no path"):
            at("nodes", name, "qemu")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("url", "http://pve:8006", "write https"),
        ("url", "https://pve:8006/api2", "write https"),
        ("url", "https://pve:99999", "port"),
        ("token", "root@pam", "USER@REALM!TOKENID=SECRET"),
        ("fingerprint", "abc", "SHA-256"),
        ("vmids", "1-50", "FIRST-LAST"),
        ("vmids", "6000-5000", "FIRST-LAST"),
        ("pools", "a", "a list of names"),
        ("templates", ["a"], "a list of vmids"),
        ("full_pass", "soon", "duration"),
        ("urll", "x", "unknown key"),
    ],
)
def test_a_wrong_setting_is_told_with_its_key(key: str, value: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as told:
        settings("pve", {**GOOD, key: value})
    assert f"targets.pve.{key}" in str(told.value)
    assert "8c2b-secret" not in str(told.value)


def test_a_secret_does_not_stand_in_what_is_printed() -> None:
    assert "8c2b-secret" not in repr(settings("pve", GOOD))
