"""Files of a repository → YAML streams: manifests as they are, charts by the real helm, kustomizations by kubectl.

Both programs run confined: a folder of their own with nothing but the files, an empty environment, bounded CPU time,
memory and output, and no network. `helm template` asks no cluster, so `lookup` finds nothing.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import re
import resource
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from controller.blueprint.entry import Entry
from controller.blueprint.names import shown
from controller.blueprint.value import markers
from controller.errors import InvalidInput
from controller.plan.resource import Allow
from engines.kubernetes.client import plain
from engines.kubernetes.policy import default_namespace

KEYS = ("path", "chart", "release", "values", "kustomize", "root")
_YAML = (".yaml", ".yml", ".json")
_CPU_S = 20
_WALL_S = 40.0
_MEMORY_BYTES = 2 * 1024**3  # Go reserves far more addresses than it uses
_OUTPUT_BYTES = 10 * 1024**2
_ERROR_LETTERS = 1500
_NOWHERE = "http://127.0.0.1:9"
# `https://…`, `git@…`, `github.com/org/repo?ref=…`: anything kustomize would fetch.
_REMOTE = re.compile(
    rb"^\s*(?:-|path:|url:|repo:)\s*[\"']?(?:[a-z+]+://|git@|github\.com[/:]|[^\s#]*\?ref=)", re.MULTILINE
)
_CHART = "Chart.yaml"


def sources(entry: Entry) -> dict[str, str]:
    """Key of `specs` → path as written. Which combinations make sense is `rendered`'s to say."""
    return {k: v for k in ("path", "chart", "kustomize", "root") if isinstance(v := entry.specs.get(k), str)}


async def rendered(entry: Entry, paths: Mapping[str, str], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """YAML streams by name. Raises InvalidInput."""
    chosen = [k for k in ("path", "chart", "kustomize") if k in paths]
    if len(chosen) != 1:
        raise InvalidInput([entry.problem("specs", "name one of path, chart and kustomize")])
    if chosen == ["path"]:
        return {name: data for name, data in sorted(files.items()) if name.endswith(_YAML)}
    if chosen == ["chart"]:
        return {f"{paths['chart']} (rendered)": await _chart(entry, paths["chart"], files)}
    return {f"{paths['kustomize']} (rendered)": await _kustomization(entry, paths["kustomize"], files)}


async def _chart(entry: Entry, path: str, files: Mapping[str, bytes]) -> bytes:
    if f"{path}/{_CHART}" not in files:
        raise InvalidInput([entry.problem("specs.chart", f"{path} is no chart: it has no {_CHART}")])
    values = entry.specs.get("values", {})
    if any(True for _ in markers(values)):
        text = "a secret or output cannot stand in values; name an existing Secret there"
        raise InvalidInput([entry.problem("specs.values", text)])
    with tempfile.TemporaryDirectory(prefix="alma-chart-") as folder:
        root = Path(folder)
        _write(root, files)
        (root / "alma-values.json").write_bytes(orjson.dumps(plain(values)))
        release = str(entry.specs.get("release") or entry.name)
        place = str(entry.specs.get("namespace") or default_namespace(entry.scope, Allow()))
        command = ["helm", "template", f"--namespace={place}", "--include-crds", "--skip-tests"]
        command += [f"--values={root / 'alma-values.json'}", "--", release, str(root / path)]
        return await _run(entry, "chart", command, root)


async def _kustomization(entry: Entry, path: str, files: Mapping[str, bytes]) -> bytes:
    for name, data in sorted(files.items()):
        kustomization = posixpath.basename(name).startswith("kustomization.")
        if kustomization and (found := _REMOTE.search(data)):
            text = f"{name} has a remote base ({shown(found[0].decode(errors='replace').strip(), 120)}); copy it here"
            raise InvalidInput([entry.problem("specs.kustomize", text)])
        if kustomization and b"helmCharts" in data:
            text = f"{name} would fetch charts; use a resource with `chart` for them"
            raise InvalidInput([entry.problem("specs.kustomize", text)])
    with tempfile.TemporaryDirectory(prefix="alma-kustomize-") as folder:
        _write(Path(folder), files)
        return await _run(entry, "kustomize", ["kubectl", "kustomize", str(Path(folder) / path)], Path(folder))


def _write(root: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


async def _run(entry: Entry, key: str, command: Sequence[str], folder: Path) -> bytes:
    program = shutil.which(command[0])
    if program is None:
        text = f"{command[0]} is not installed where alma runs; put it on its PATH"
        raise InvalidInput([entry.problem(f"specs.{key}", text)])
    process = await asyncio.create_subprocess_exec(
        *_without_network(),
        program,
        *command[1:],
        cwd=folder,
        env=_environment(folder),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=_confine,
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _WALL_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise InvalidInput([entry.problem(f"specs.{key}", f"takes more than {_WALL_S:.0f} s to render")]) from None
    if process.returncode:
        told = shown(err.decode(errors="replace").strip().replace(str(folder), ""), _ERROR_LETTERS)
        raise InvalidInput([entry.problem(f"specs.{key}", f"{command[0]} refuses it: {told or process.returncode}")])
    if len(out) > _OUTPUT_BYTES:
        raise InvalidInput([entry.problem(f"specs.{key}", f"renders to more than {_OUTPUT_BYTES >> 20} MiB")])
    return out


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours: not our credentials, not our configuration."""
    homes = {k: str(folder / k.lower()) for k in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), _NOWHERE)
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "KUBECONFIG": os.devnull, **homes, **proxies}


def _without_network() -> tuple[str, ...]:
    """A network namespace with nothing in it, where the kernel lets us have one; else only the proxies stand."""
    unshare = shutil.which("unshare")
    if unshare is None or not _may_unshare():
        return ()
    return (unshare, "--user", "--map-current-user", "--net", "--")


def _may_unshare() -> bool:
    limit = Path("/proc/sys/user/max_user_namespaces")
    allowed = Path("/proc/sys/kernel/unprivileged_userns_clone")
    try:
        return int(limit.read_text()) > 0 and (not allowed.exists() or allowed.read_text().strip() == "1")
    except (OSError, ValueError):
        return False


def _confine() -> None:
    """Runs in the child before the program."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_OUTPUT_BYTES, _OUTPUT_BYTES))
