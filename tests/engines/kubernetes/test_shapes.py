"""Objects as paths, parts of objects by path, and what managed fields say: arithmetic, held by properties."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engines.kubernetes import managed, shape
from engines.kubernetes.objects import flat, without_nulls
from tests.engines.kubernetes.driving import deployment

_LEAVES = st.one_of(st.integers(), st.text(max_size=5), st.booleans())
_NAMES = st.sampled_from(["a", "b", "env", "ports", "containers", "x.y/z"])
_KEYED = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abc"), "value": _LEAVES}), max_size=3, unique_by=lambda i: i["name"]
)
_VALUES = st.recursive(
    st.one_of(_LEAVES, _KEYED, st.lists(_LEAVES, max_size=3)),
    lambda inner: st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=12,
)
_BODIES = st.dictionaries(st.sampled_from(["spec", "data"]), _VALUES, max_size=2)


@given(_BODIES)
def test_taking_everything_of_an_object_is_the_object(body: dict[str, Any]) -> None:
    assert flat(shape.with_kept(body, body, lambda p: True)) == flat(body)
    assert flat(shape.mapped(body, lambda p, v: v)) == flat(body)


@given(_BODIES, _BODIES)
def test_what_is_laid_over_counts(below: dict[str, Any], above: dict[str, Any]) -> None:
    before = copy.deepcopy(below)
    both = flat(shape.laid_over(below, above))
    assert below == before, "nothing given is changed"
    assert all(path in both and both[path] == value for path, value in flat(above).items() if value not in ({}, ()))


@given(_BODIES)
def test_nothing_chosen_is_nothing_picked(body: dict[str, Any]) -> None:
    assert shape.picked(body, body, lambda p: False) is None


def test_lists_with_keys_are_one_path_per_element() -> None:
    web = deployment("web", ports=[{"containerPort": 80}], env=[{"name": "A", "value": "1"}])
    fields = flat(web)
    assert fields["spec.template.spec.containers.web.env.A.value"] == "1"
    assert fields["spec.template.spec.containers.web.ports.80/TCP.containerPort"] == 80


def test_our_part_of_an_object_is_what_we_applied() -> None:
    fields = {"f:data": {"f:ours": {}}, "f:metadata": {"f:labels": {"f:a": {}}}}
    theirs: dict[str, Any] = {"f:data": {"f:theirs": {}}}
    live = {
        "metadata": {
            "labels": {"a": "1", "b": "2"},
            "managedFields": [
                {"manager": "alma", "operation": "Apply", "fieldsV1": fields},
                {"manager": "kubectl-edit", "operation": "Update", "time": "T", "fieldsV1": theirs},
            ],
        },
        "data": {"ours": "1", "theirs": "2"},
    }
    assert managed.own(live) == {"data": {"ours": "1"}, "metadata": {"labels": {"a": "1"}}}
    assert managed.paths(live) == {"data.ours", "metadata.labels.a"}
    assert managed.others(live, "data.theirs") == ("kubectl-edit",)
    assert managed.writer(live, "data.theirs") == "kubectl-edit at T"
    assert managed.writer(live, "data.ours") == ""


def test_a_manifests_nulls_say_nothing() -> None:
    assert without_nulls({"metadata": {"creationTimestamp": None, "name": "a"}}) == {"metadata": {"name": "a"}}
