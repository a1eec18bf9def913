"""A real Prometheus that scrapes what a test serves, every second, and promtool's opinion of a metrics page."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import yaml

from tests.servers.process import ServerProcess, free_port, wait_until

_START_TIMEOUT_S = 60.0
_SCRAPE_TIMEOUT_S = 30.0


def missing() -> str | None:
    """Why no Prometheus can be started here, or None."""
    absent = [tool for tool in ("prometheus", "promtool") if shutil.which(tool) is None]
    return f"not installed: {', '.join(absent)} (python -m tests.servers.system)" if absent else None


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer: its labels and its value now."""

    labels: dict[str, str]
    value: float


class PrometheusServer:
    """One Prometheus; scrapes nothing until `scrape` names an address."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="alma-prometheus-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._targets = self.folder / "targets.json"
        self._groups: list[dict[str, object]] = []
        self._process: ServerProcess | None = None
        self._client = httpx2.Client(base_url=self.url, timeout=_START_TIMEOUT_S)
        self._write_settings()

    def start(self) -> None:
        """Returns when it is ready to answer queries. Raises NotStarted."""
        arguments = [
            "prometheus",
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]
        self._process = ServerProcess(arguments, self.folder / "prometheus.log")
        self._process.wait_ready(self.answers, timeout_s=_START_TIMEOUT_S)

    def answers(self) -> bool:
        """True if it is ready now."""
        try:
            return self._client.get("/-/ready").status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False

    def stop(self) -> None:
        """Nothing answers until `start`. Does nothing if it is stopped."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def close(self) -> None:
        """Stops the server and removes its data."""
        self.stop()
        self._client.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def scrape(self, url: str, job: str) -> None:
        """Scrapes `url` every second from now on under the label `job`; returns after the first good scrape."""
        parts = urlsplit(url)
        labels = {"job": job, "__metrics_path__": parts.path or "/", "__scheme__": parts.scheme}
        self._groups.append({"targets": [parts.netloc], "labels": labels})
        self._write_targets()
        wait_until(lambda: self._is_up(job), timeout_s=_SCRAPE_TIMEOUT_S, what=f"first scrape of {url}")

    def scrape_nothing(self) -> None:
        """Forgets every address; what was scraped stays."""
        self._groups.clear()
        self._write_targets()

    def query(self, expression: str) -> list[Sample]:
        """The answer to a PromQL expression at this moment; an empty list if no series matches."""
        answer = self._client.get("/api/v1/query", params={"query": expression})
        answer.raise_for_status()
        return [Sample(each["metric"], float(each["value"][1])) for each in answer.json()["data"]["result"]]

    def _is_up(self, job: str) -> bool:
        return any(sample.value == 1 for sample in self.query(f'up{{job="{job}"}}'))

    def _write_targets(self) -> None:
        # Renamed into place: Prometheus may read the file at any moment.
        beside = self._targets.with_suffix(".new")
        beside.write_text(json.dumps(self._groups))
        beside.rename(self._targets)

    def _write_settings(self) -> None:
        self._write_targets()
        settings = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {"job_name": "tests", "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": "1s"}]}
            ],
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(settings))


def check_metrics(page: str) -> list[str]:
    """What `promtool check metrics` has against a metrics page, a line each; empty: nothing."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False, timeout=60
    )
    return (done.stdout + done.stderr).splitlines()


def check_rules(rules: Path) -> list[str]:
    """What `promtool check rules` has against a file of alerts; empty: nothing."""
    done = subprocess.run(
        ["promtool", "check", "rules", str(rules)], capture_output=True, text=True, check=False, timeout=60
    )
    return (done.stdout + done.stderr).splitlines() if done.returncode else []
