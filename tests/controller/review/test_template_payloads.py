"""What others write is data to a template, never template: not in a comment, not in a blueprint's `${…}` (I40, E24)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.blueprint.loader import load_scope
from controller.blueprint.repository import load_repository
from controller.errors import InvalidInput
from controller.review.markdown import comment
from tests.controller.git.witness import witnessing
from tests.controller.review.hostile import review_with, run_with

MARKER = "<!-- alma:ipr:7 -->"
# What each would give if anything evaluated it; `None`: it would do something rather than say something.
JINJA: tuple[tuple[str, str | None], ...] = (
    ("{{ 1337*7 }}", "9359"),
    ("{{ '7'*1337 }}", "7" * 1337),
    ("{{ ''.__class__.__mro__ }}", "<class 'object'>"),
    ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "<class"),
    ("{{ self.__init__.__globals__ }}", "__builtins__"),
    ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "uid="),
    ("{{ lipsum.__globals__['os'].environ }}", "environ("),
    ("{{ joiner.__init__.__globals__.os.getcwd() }}", "/work"),
    ("{{ namespace.__init__.__globals__ }}", "__name__"),
    ("{{ config }}", "<Config"),
    ("{{ request.application.__globals__ }}", "__builtins__"),
    ("{{ get_flashed_messages.__globals__ }}", "current_app"),
    ("{{ url_for.__globals__ }}", "current_app"),
    ("{{ [].__class__.__base__ }}", "<class 'object'>"),
    ("{{ ().__class__.__bases__[0] }}", "<class 'object'>"),
    ("{{ {}.__class__.__mro__[-1] }}", "<class 'object'>"),
    ("{{ 7|attr('__class__') }}", "<class 'int'>"),
    ("{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}", "<class 'str'>"),
    ("{{ '%s'|format(7*1337) }}", "9359"),
    ("{{ '{0.__class__}'.format(7) }}", "<class 'int'>"),
    ("{{ '{x.__init__.__globals__}'.format_map({'x': cycler}) }}", "__builtins__"),
    ("{{ 'abc'|upper }}", "ABC\n"),
    ("{{ range(3)|list }}", "[0, 1, 2]"),
    ("{{ 'x'|center(5000) }}", " " * 2000),
    ("{{ 'x'|indent(5000) }}", " " * 2000),
    ("{{ 'a'|replace('a', 'zzz9') }}", "`zzz9`"),
    ("{{ dict(a=1)|tojson }}", '{"a": 1}'),
    ("{{ marker }}", MARKER + MARKER),
    ("{{ plan.listed }}", "Change("),
    ("{{ verdict }}", "### ❌ ALMA ###"),
    ("{% for i in range(3) %}loop{{ i }}{% endfor %}", "loop0loop1"),
    ("{% if true %}taken9{% endif %}", "`taken9`"),
    ("{% set x = 9359 %}{{ x }}", "`9359`"),
    ("{% include '/etc/passwd' %}", "root:x:0"),
    ("{% include 'comment.md.j2' %}", None),
    ("{% import 'plan.md.j2' as p %}{{ p }}", "<TemplateModule"),
    ("{% extends 'comment.md.j2' %}", None),
    ("{% from 'plan.md.j2' import x %}", None),
    ("{% macro m() %}9359{% endmacro %}{{ m() }}", "`9359`"),
    ("{% raw %}{{ 1 }}{% endraw %}", "`{{ 1 }}`"),
    ("{% call(x) m() %}{% endcall %}", None),
    ("{% filter upper %}abc{% endfilter %}", "`ABC`"),
    ("{% block b %}9359{% endblock %}", "`9359`"),
    ("{% do [].append(1) %}", None),
    ("{# a remark #}gone9", "`gone9`"),
    ("{{ 'x'*200000000 }}", "x" * 10_000),
    ("{{ range(999999999)|sum }}", "499999998500000001"),
    ("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}", "x" * 10_000),
    ("{{ undefined_name.attribute }}", "Undefined"),
    ("# for x in y", None),
    ("<% 7*7 %> #{7*7} ${{7*7}} @(7*7) <%= 7*7 %>", None),
)
DOLLAR = (
    "${resources.__class__}",
    "${resources.web.__init__.__globals__}",
    "${resources.web.outputs.__class__.__mro__}",
    "${values.__dict__}",
    "${values.x.__class__}",
    "${values[x]}",
    "${env:HOME}",
    "${HOME}",
    "${file:/etc/passwd}",
    "${scopes.prod.outputs.__class__}",
    "${`id`}",
    "${$(id)}",
    "${values.x:-${values.y:-${HOME}}}",
    "${{ 7*7 }}",
    "${",
)


@pytest.mark.parametrize(("payload", "if_evaluated"), JINJA, ids=[ascii(p[:40]) for p, _ in JINJA])
def test_no_text_of_others_is_evaluated_by_a_comment(
    payload: str, if_evaluated: str | None, tmp_path: Path, report_n: Callable[..., None]
) -> None:
    with witnessing(tmp_path) as witness:
        body = comment(review_with(payload), run_with(payload), MARKER)
    assert if_evaluated is None or if_evaluated not in body
    assert payload.split(" ")[0][:2] in body, "it is shown as it was written"
    assert not witness.started and not witness.called
    report_n("E24 comment", 1)


def test_there_are_at_least_50_payloads() -> None:
    assert len({p for p, _ in JINJA}) >= 50


@pytest.mark.parametrize("payload", DOLLAR)
def test_a_reference_that_is_none_is_an_error_at_its_place(payload: str, report_n: Callable[..., None]) -> None:
    head = "name: b\nprovider: simulation\nresources:\n  - name: web\n    type: container\n"
    scope = load_repository(None, default_scope="prod").scopes[0]
    with pytest.raises(InvalidInput) as refused:
        load_scope({"b.yaml": f"{head}    specs: {{image: '{payload}'}}\n".encode()}, scope)
    assert all(p.place and p.place.line in (4, 6) for p in refused.value.problems)
    report_n("E24 blueprint", 1)


@pytest.mark.parametrize("depth", [100, 1_000, 10_000])
def test_references_inside_references_are_refused_before_they_cost_anything(
    depth: int, report_n: Callable[..., None]
) -> None:
    nested = "${values.x:-" * depth + "}" * depth
    text = f"name: b\nresources:\n  - {{name: web, type: container, specs: {{image: '{nested}'}}}}\n"
    scope = load_repository(None, default_scope="prod").scopes[0]
    with pytest.raises(InvalidInput):
        load_scope({"b.yaml": text.encode()}, scope)
    report_n("E24 blueprint", 1)
