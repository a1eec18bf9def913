"""The server as an App sees it: installed, and without a token of a person."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from controller.forges.forge import ForgeBinding
from tests.controller.forges.github_server.app import AppRegistration
from tests.controller.forges.github_server.server import GitHubServer

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
MINIMUM = {"metadata": "read", "contents": "write", "pull_requests": "write", "statuses": "write"}


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


class AppServer(GitHubServer):
    """With the App installed and no token."""

    def __init__(self, permissions: dict[str, str] | None = None) -> None:
        super().__init__()
        self.app = AppRegistration("4711", KEY.public_key(), permissions or MINIMUM)

    def binding(self, **config: object) -> ForgeBinding:
        return super().binding(**{"token": None, "app_id": "4711", "private_key": pem(KEY), **config})
