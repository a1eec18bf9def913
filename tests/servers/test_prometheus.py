"""The Prometheus of the tests is real: it scrapes, answers, and promtool judges a page."""

from __future__ import annotations

from contextlib import closing

import pytest
from pytest_httpserver import HTTPServer

from tests.servers.process import accepts
from tests.servers.prometheus import PrometheusServer, check_metrics

pytestmark = pytest.mark.prometheus

_PAGE = "# HELP shop_orders_total Orders.\n# TYPE shop_orders_total counter\nshop_orders_total 7\n"


def test_a_page_is_scraped_and_its_value_found_by_a_query(prometheus: PrometheusServer, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/metrics").respond_with_data(_PAGE, content_type="text/plain; version=0.0.4")
    prometheus.scrape(httpserver.url_for("/metrics"), "shop")
    assert [sample.value for sample in prometheus.query('shop_orders_total{job="shop"}')] == [7]
    prometheus.scrape_nothing()


def test_a_query_without_a_match_is_empty(prometheus: PrometheusServer) -> None:
    assert prometheus.query("no_such_metric") == []


def test_promtool_has_nothing_against_a_good_page() -> None:
    assert check_metrics(_PAGE) == []


def test_promtool_names_what_is_wrong_with_a_page() -> None:
    assert check_metrics("# TYPE shop_orders counter\nshop_orders 7\n")


def test_a_stopped_prometheus_answers_no_more_and_leaves_nothing() -> None:
    with closing(PrometheusServer()) as server:
        server.start()
        server.stop()
        assert not accepts(server.port)
    assert not server.folder.exists()
