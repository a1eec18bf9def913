"""What operators see: Prometheus scrapes the page, promtool has nothing against it, logs are JSON lines."""

from __future__ import annotations

import pytest

from tests.e2e.gitea_scene import SECRET, GiteaScene
from tests.e2e.serving import Alma
from tests.e2e.shop import Shop
from tests.servers.dockerd import DockerDaemon
from tests.servers.prometheus import PrometheusServer, check_metrics

pytestmark = [pytest.mark.gitea, pytest.mark.docker, pytest.mark.prometheus]

# A series of each name that applies here, with its labels.
SERIES = (
    'alma_reconcile_total{scope="prod",result="synced"}',
    'alma_reconcile_duration_seconds_count{scope="prod",phase="pass"}',
    'alma_reconcile_duration_seconds_count{scope="prod",phase="run"}',
    'alma_token_bucket_tokens{bucket="scope:prod"}',
    'alma_queue_depth{priority="poll"}',
    'alma_changes_total{engine="docker",action="create",result="done"}',
    'alma_changes_total{engine="docker",action="update",result="failed"}',
    'alma_rollbacks_total{scope="prod",result="undone"}',
    'alma_drift_resources{scope="prod",engine="docker"}',
    'alma_drift_age_seconds{scope="prod"}',
    'alma_scope_sync_status{scope="prod",status="synced"}',
    'alma_scope_health{scope="prod",health="healthy"}',
    "alma_ipr_review_duration_seconds_count",
    'alma_merge_to_synced_seconds_count{scope="prod"}',
    'alma_engine_up{target="edge"} == 1',
    'alma_engine_request_duration_seconds_count{engine="docker"}',
    'alma_forge_requests_total{forge="gitea",code="200"}',
    'alma_monthly_cost{scope="prod",currency="EUR"}',
    'alma_findings{scope="prod",severity="medium"}',
    'http_requests_total{route="/readyz",method="GET",code="200"}',
    'http_request_duration_seconds_count{route="/readyz",method="GET"}',
)
# They have no value here: nothing was throttled, and Gitea tells of no rate limit.
DECLARED = ("alma_reconcile_throttled_total", "alma_forge_rate_limit_remaining")


def test_prometheus_has_every_series_and_logs_carry_scope_revision_run_resource_and_trace(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon, prometheus: PrometheusServer
) -> None:
    polling.start()
    number = scene.open(shop.files(shop.web(), shop.careless()), "web")
    polling.wait(lambda: scene.comment(number), "the comment")
    polling.wait_synced(scene.merge(number))
    docker_host.api.remove_container("prod-shop-web", force=True)
    polling.wait(lambda: shop.page(), "the healed page")
    polling.wait(lambda: polling.scope()["sync"] == "synced", "synced again")
    scene.push(shop.files(shop.web("broken"), shop.careless()))
    polling.wait(lambda: polling.runs()[-1]["word"] == "undone", "the undone run")

    prometheus.scrape(f"http://127.0.0.1:{polling.metrics_port}/metrics", "e2e")
    absent = [s for s in SERIES if not prometheus.query(s.replace("{", '{job="e2e",', 1) if "{" in s else s)]
    assert absent == []
    page = polling.metrics()
    assert check_metrics(page) == []
    assert [n for n in DECLARED if f"# TYPE {n} " not in page] == []

    lines = list(polling.logged())
    ended = [line for line in lines if line["event"] == "run ended"]
    assert ended and all(
        {"scope", "revision", "run", "trace_id", "timestamp", "level"} <= line.keys() for line in ended
    )
    changes = [line for line in lines if line["event"] == "change ended"]
    assert {line["resource"] for line in changes} == {"prod/shop/web", "prod/shop/side"}
    assert all({"scope", "revision", "run", "trace_id", "action", "result"} <= line.keys() for line in changes)
    assert len({line["trace_id"] for line in ended}) == len(ended)  # one trace per pass
    said = polling.said()
    assert scene.environment()["E2E_FORGE_TOKEN"] not in said and SECRET not in said
