"""E10: secrets in plain text are found, clean values are left alone."""

from __future__ import annotations

import base64
import hashlib
import random
import string
import uuid
from collections.abc import Callable, Iterator

import pytest

from controller.review.secret_scan import looks_secret

LETTERS = string.ascii_letters + string.digits


def word(rnd: random.Random, length: int, alphabet: str = LETTERS) -> str:
    return "".join(rnd.choice(alphabet) for _ in range(length))


def secrets(rnd: random.Random) -> Iterator[tuple[str, str]]:
    """25 kinds, as they stand in files."""
    upper = string.ascii_uppercase + string.digits
    yield "env.KEY", "AKIA" + word(rnd, 16, upper)
    yield "env.X", "ghp_" + word(rnd, 36)
    yield "env.X", "github_pat_" + word(rnd, 22) + "_" + word(rnd, 59)
    yield "env.X", "glpat-" + word(rnd, 20)
    yield "env.X", f"xoxb-{word(rnd, 12, string.digits)}-{word(rnd, 24)}"
    yield "env.X", "sk-proj-" + word(rnd, 40)
    yield "env.X", "sk_live_" + word(rnd, 24)
    yield "env.X", "AIza" + word(rnd, 35)
    yield "env.X", f"eyJ{word(rnd, 20)}.eyJ{word(rnd, 40)}.{word(rnd, 43)}"
    yield "env.X", "npm_" + word(rnd, 36)
    yield "env.X", "hvs." + word(rnd, 24)
    yield "env.X", f"SG.{word(rnd, 22)}.{word(rnd, 43)}"
    yield "env.DATABASE_URL", f"postgres://app:{word(rnd, 10)}@db:5432/app"
    yield "env.REDIS", f"redis://:{word(rnd, 12)}@cache/0"
    yield "env.DB_PASSWORD", word(rnd, 9, string.ascii_lowercase)
    yield "env.MYSQL_ROOT_PASSWORD", word(rnd, 14)
    yield "env.CLIENT_SECRET", str(uuid.UUID(int=rnd.getrandbits(128)))
    yield "env.SESSION_SECRET", word(rnd, 32, "0123456789abcdef")
    yield "labels.note", base64.b64encode(rnd.randbytes(32)).decode()
    yield "env.X", word(rnd, 48, "0123456789abcdef")
    yield "command", f"serve --admin-password={word(rnd, 10)} --port 80"
    yield "command", f"serve --token {word(rnd, 24)}"
    yield "files.key", f"-----BEGIN OPENSSH PRIVATE KEY-----\n{word(rnd, 70)}\n"
    yield "env.X", "AGE-SECRET-KEY-1" + word(rnd, 58, upper)
    yield "env.BOT", f"{word(rnd, 9, '123456789')}:AA{word(rnd, 33)}"


def clean(rnd: random.Random) -> Iterator[tuple[str, object]]:
    """25 kinds of values that only look unusual."""
    yield "image", f"registry.example.org/team/web:1.{rnd.randrange(99)}.{rnd.randrange(99)}"
    yield "image", "postgres:16@sha256:" + hashlib.sha256(rnd.randbytes(4)).hexdigest()
    yield "env.REVISION", hashlib.sha1(rnd.randbytes(4)).hexdigest()
    yield "env.INSTANCE_ID", str(uuid.UUID(int=rnd.getrandbits(128)))
    yield "env.DB_PASSWORD_FILE", "/run/secrets/db_password"
    yield "env.DB_PASSWORD", "${values.db_password}"
    yield "env.TOKEN_TTL", "3600"
    yield "env.MAX_TOKENS", 4096
    yield "env.PASSWORD_MIN_LENGTH", "12"
    yield "env.ENABLE_PASSWORD", "true"
    yield "env.DATABASE_URL", "postgres://db:5432/app"
    yield "env.PUBLIC_URL", f"https://shop-{rnd.randrange(999)}.example.org/path/to/page?lang=de"
    yield "labels.traefik.http.routers.web.rule", f"Host(`shop{rnd.randrange(99)}.example.org`) && PathPrefix(`/api`)"
    yield "command", "nginx -g 'daemon off;' -c /etc/nginx/nginx.conf"
    yield "env.JAVA_OPTS", "-Xmx512m -XX:+UseG1GC -Dfile.encoding=UTF-8 -Dspring.profiles.active=production"
    yield "volumes.0", "data:/var/lib/postgresql/data"
    yield "env.PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    yield "env.DESCRIPTION", "The quick brown fox jumps over the lazy dog 42 times a day"
    yield "ssh_keys.0", "ssh-ed25519 " + base64.b64encode(rnd.randbytes(51)).decode() + " ann@example.org"
    yield "env.TZ", "Europe/Berlin"
    yield "env.CORS_ORIGINS", "https://a.example.org,https://b.example.org"
    yield "env.LOG_FORMAT", '{"time":"%t","level":"%l","message":"%m"}'
    yield "labels.com.example.some-long-label-name", "some-long-label-value-with-many-words-in-it"
    yield "mac", "52:54:00:12:34:56"
    yield "env.KAFKA_BROKERS", "kafka-0.kafka.svc:9092,kafka-1.kafka.svc:9092"


def test_at_least_95_percent_of_secrets_are_found(report_n: Callable[..., None]) -> None:
    samples = [pair for seed in range(8) for pair in secrets(random.Random(seed))]
    missed = [path for path, value in samples if not looks_secret(path, value)]
    report_n("E10 secrets", len(samples), len(missed))
    assert len(samples) == 200 and len(missed) <= 10, missed


def test_at_most_2_percent_of_clean_values_are_suspected(report_n: Callable[..., None]) -> None:
    samples = [pair for seed in range(40) for pair in clean(random.Random(seed))]
    suspected = [(path, value) for path, value in samples if looks_secret(path, value)]
    report_n("E10 clean", len(samples), len(suspected))
    assert len(samples) == 1000 and len(suspected) <= 20, suspected[:10]


@pytest.mark.parametrize("value", [None, 7, True, {"a": {"b": "plain"}}, ["x", "y"]])
def test_values_of_every_type_can_be_asked_about(value: object) -> None:
    assert not looks_secret("specs", value)


def test_a_secret_is_found_at_any_depth() -> None:
    assert looks_secret("specs", {"env": [{"deep": ["ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"]}]})


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["A", "-a", "a.", "://:", "eyJ-", " --a ", "a=", "SG.", "-----BEGIN ", "a1B2", "0f"])
def test_a_value_of_one_mebibyte_is_read_in_linear_time(unit: str) -> None:
    looks_secret("env.X", unit * (2**20 // len(unit)))
