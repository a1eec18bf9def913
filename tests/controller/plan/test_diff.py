"""Three-way: what we want, what is there, what we set last; what a platform fills in by itself is never drift."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.blueprint.value import Output, Secret, Text
from controller.plan.diff import agrees, three_way
from controller.plan.resource import Masked

fields = st.dictionaries(st.sampled_from(["a", "a.b", "c", "d"]), st.integers(0, 2) | st.text(max_size=1), max_size=4)
paths = st.frozensets(st.sampled_from(["a", "a.b", "c", "d"]))


@given(fields, fields, paths)
def test_applying_the_changes_leaves_none_and_touches_no_others_field(
    wanted: dict[str, object], live: dict[str, object], before: frozenset[str]
) -> None:
    changes = three_way(wanted, live, before)
    after = {**live, **{c.path: c.after for c in changes}}
    after = {k: v for k, v in after.items() if v is not None}
    assert three_way(wanted, after, before | set(wanted)) == ()
    touched = {c.path for c in changes}
    assert touched <= set(wanted) | before
    assert [c.path for c in changes] == sorted(touched)


@given(fields, fields, paths, paths)
def test_what_is_ignored_never_changes(
    wanted: dict[str, object], live: dict[str, object], before: frozenset[str], ignored: frozenset[str]
) -> None:
    changed = {c.path for c in three_way(wanted, live, before, ignored)}
    assert not any(path == i or path.startswith(f"{i}.") for path in changed for i in ignored)


def test_a_path_we_set_and_no_longer_want_is_unset_and_others_stay() -> None:
    (change,) = three_way({}, {"ours": 1, "theirs": 2}, {"ours"})
    assert (change.path, change.before, change.after) == ("ours", 1, None)


def test_a_secret_compares_by_its_keyed_hash_and_is_sensitive() -> None:
    (change,) = three_way({"p": Secret("env:P", "new")}, {"p": Masked("old")}, ())
    assert change.sensitive
    assert three_way({"p": Secret("env:P", "same")}, {"p": Masked("same")}, ()) == ()
    assert three_way({"p": Secret("env:P")}, {"p": Masked("old")}, ()) == ()
    assert three_way({"p": Secret("env:P", "new")}, {"p": Masked(None)}, ()) == ()


def test_what_is_not_known_yet_makes_no_change_by_itself() -> None:
    assert agrees(Output("s/b/r", "ip"), "10.0.0.1")
    assert agrees(Text(("http://", Output("s/b/r", "ip"))), "anything")
    assert agrees([1, {"a": (2,)}], (1, {"a": [2]}))
    assert not agrees({"a": 1}, {"a": 2})
