"""The PostgreSQL of the tests is real: it keeps what was committed through a kill, and asks for a password."""

from __future__ import annotations

import pytest

from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.postgres


def test_what_was_committed_survives_a_kill(postgres: PostgresServer) -> None:
    postgres.empty()
    postgres.sql("CREATE TABLE kept AS SELECT 7 AS seven")
    postgres.kill()
    assert not postgres.answers()
    postgres.start()
    assert postgres.sql("SELECT seven FROM kept") == "7"
    assert postgres.sql("SHOW server_version").startswith("15.")
    postgres.empty()
    assert postgres.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
