"""Check runs: written by Apps only, 50 annotations in one request, an update adds to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2

from tests.controller.forges.api import Call, NotFound, Routes, answer
from tests.controller.forges.github_server.refusals import invalid, refusal

if TYPE_CHECKING:
    from tests.controller.forges.github_server.server import GitHubServer

Json = dict[str, Any]
_EACH_MOST = 50


def create_run(server: GitHubServer, call: Call) -> httpx2.Response:
    return _refused(server, call) or _created(server, call)


def _created(server: GitHubServer, call: Call) -> httpx2.Response:
    if call.body["head_sha"] not in server.commits:
        return refusal(422, f"No commit found for SHA: {call.body['head_sha']}")
    output = call.body["output"]
    run = {"id": server.new_id(), "conclusion": None, "external_id": "", **call.body, "output": output}
    server.check_runs.append(run)
    return answer(_shape(run), 201)


def update_run(server: GitHubServer, call: Call) -> httpx2.Response:
    refused = _refused(server, call)
    if refused:
        return refused
    run = next((one for one in server.check_runs if one["id"] == call.number), None)
    if run is None:
        raise NotFound
    added = call.body["output"]["annotations"]
    run["output"] = {**call.body["output"], "annotations": [*run["output"]["annotations"], *added]}
    run.update({key: value for key, value in call.body.items() if key != "output"})
    return answer(_shape(run))


def list_runs(server: GitHubServer, call: Call) -> httpx2.Response:
    sha, name = call.values[0], call.query.get("check_name")
    found = [one for one in server.check_runs if one["head_sha"] == sha and name in (None, one["name"])]
    return answer({"total_count": len(found), "check_runs": [_shape(one) for one in found[-1:]]})


def _refused(server: GitHubServer, call: Call) -> httpx2.Response | None:
    if server.app is None:
        return refusal(403, "You must authenticate via a GitHub App.")
    if server.app.permissions.get("checks") != "write":
        return refusal(403, "Resource not accessible by integration")
    if len(call.body["output"].get("annotations", ())) > _EACH_MOST:
        return invalid("CheckRun", "annotations", "custom", "annotations exceeds a maximum quantity of 50")
    if call.body["status"] == "completed" and "conclusion" not in call.body:
        return invalid("CheckRun", "conclusion", "missing_field")
    return None


def _shape(run: Json) -> Json:
    output = run["output"]
    told = {"title": output["title"], "summary": output["summary"], "text": None}
    counted = {**told, "annotations_count": len(output["annotations"]), "annotations_url": "https://git.example/a"}
    return {**{key: value for key, value in run.items() if key != "output"}, "output": counted}


_N = r"(\d+)"
_W = r"([^/]+)"
CHECK_ROUTES: Routes[GitHubServer] = (
    ("POST", "REPO/check-runs", create_run),
    ("PATCH", f"REPO/check-runs/{_N}", update_run),
    ("GET", f"REPO/commits/{_W}/check-runs", list_runs),
)
