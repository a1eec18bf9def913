"""Text that tries to become something else, reviews that carry it in every field others can write, and a reader that
tells what a forge's renderer would make of a comment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from markdown_it import MarkdownIt
from markdown_it.token import Token

from controller.blueprint.entry import Disruption, Waived
from controller.errors import Place, Problem
from controller.plan.change import Change, Notice, Plan
from controller.plan.resource import ObjectKey, ResourceId
from controller.plan.step import Action, Effect, Expect, FieldChange, Phase, Step, TaskRef
from controller.review.audit import Audit
from controller.review.cost import BudgetResult, Cost, CostLine
from controller.review.finding import Finding, Severity, WaivedFinding
from controller.review.report import Review, RunProgress, RunRow, RunState, ScopeReview
from tests.controller.review.making import DIGEST

FIELDS = 30  # that `review_with` and `run_with` fill

PAYLOADS = (
    "@octocat",
    "@org/team please look",
    "cc @all @here",
    "#1",
    "GH-12",
    "owner/repo#12",
    "!34",
    "~2",
    "$56 &78 ~bug %milestone",
    "JIRA-123",
    "deadbeefcafe",
    "0123456789abcdef0123456789abcdef01234567",
    "owner/repo@deadbeefcafe",
    "closes #1",
    "Fixes: owner/repo#2",
    "resolves https://git.example/ops/infra/issues/3",
    "implements #4",
    "![x](https://evil.example/pixel.png)",
    "[click](https://evil.example)",
    "[click][1]\n\n[1]: https://evil.example",
    "<https://evil.example>",
    "https://evil.example/a?b=c",
    "http://evil.example",
    "www.evil.example",
    "mail me: a@evil.example",
    "ftp://evil.example",
    "javascript:alert(1)",
    "[x](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<a href='https://evil.example'>x</a>",
    "</details></summary><h1>x</h1>",
    "<!-- alma:ipr:1 -->",
    "<!-- hidden",
    "--><b>x</b>",
    "<details open><summary>x",
    "</code></pre><b>x",
    "<svg/onload=alert(1)>",
    "<table><tr><td>x",
    "&lt;b&gt; &#64;octocat &commat;octocat",
    "`code`",
    "``` \n# broken out\n```",
    "````\nx",
    "~~~\n# broken out\n~~~",
    "`````````````````````````````````````````",
    "` `` ``` ```` @octocat",
    "a`@octocat`b",
    "\\`@octocat\\`",
    "| a | b |",
    "x | y\n--- | ---\n1 | 2",
    "x \\| y \\\\| z",
    "|||||",
    "# heading",
    "x\n===",
    "x\n---",
    "> quote",
    "- item\n- item",
    "1. item",
    "- [x] done",
    "***",
    "**bold** _it_ ~~gone~~",
    "*" * 50,
    "$x^2$",
    "$$\\int x$$",
    "$`x`$",
    "[^1]\n\n[^1]: note",
    ":smile: :rocket:",
    "/close",
    "/approve\n/merge",
    "text\n/assign @me",
    "/alma confirm 4f0c12ab34cd",
    "alma confirm 4f0c12ab34cd",
    "{{ 7*7 }}{% raw %}",
    "${resources.db.outputs.x}",
    '```mermaid\ngraph LR\n click a href "https://evil.example"\n```',
    '"]; click n0 "https://evil.example"; n1["x',
    '%%{init: {"securityLevel": "loose"}}%%',
    "\u202eevil\u202c \u2066x\u2069",
    "\u200b\u200d\ufeff\u00ad@octocat",
    "\x1b]8;;https://evil.example\x07x\x1b]8;;\x07",
    "A" * 100_000,
    "a\r\n\r\n# x\u2028# y\u2029# z\x0b# v\x0c# w\x85# u",
    "",
    " ",
    "\t\n",
)


def change_with(t: str, action: Action, disruption: Disruption) -> Change:
    key = ObjectKey(f"docker/{t}", t)
    step = Step(Phase.CUT, key, Expect(), {"call": "x"}, reversible=False)
    fields = (FieldChange(t, t, t + t), FieldChange("env.X", None, [t]))
    effect = Effect(
        ResourceId("prod", "shop", t), key, action, disruption, fields, t, lost=(t,), steps=(step,), down_s=2
    )
    return Change(effect, t, 0, place=Place(t, 1, 1))


def review_with(t: str) -> Review:
    """One scope of each outcome, with `t` in every field that others can write."""
    changes = (
        change_with(t, Action.UPDATE, Disruption.RESTART),
        change_with(t + "2", Action.DESTROY, Disruption.DATA_LOSS),
    )
    plan = Plan(
        "prod",
        "a" * 40,
        changes,
        DIGEST,
        "",
        {f"prod/shop/{t}": (f"prod/shop/{t}2",)},
        (Notice(changes[0].effect.resource, t),),
    )
    finding = Finding("privileged", Severity.HIGH, f"prod/shop/{t}", Place(t, 3, 1), t, t)
    waiver = Waived("privileged", t, t, date(2027, 1, 1), Place(t, 1, 1))
    cost = Cost((CostLine(t, Decimal(1), Decimal(2), t),), Decimal(1), Decimal(2), "EUR", (t,), ((t, t),))
    planned = ScopeReview(f"a{t}", plan, Audit((finding,), (WaivedFinding(finding, waiver),)), cost, waits=(t,))
    return Review(
        scopes=(
            planned,
            ScopeReview(f"b{t}", problems=(Problem(Place(t, 1, 1), t, t),)),
            ScopeReview(f"c{t}", refused=t),
            ScopeReview(f"d{t}", unreadable=t),
        ),
        head=t,
        base=t,
        fail_on=Severity.HIGH,
        budget=BudgetResult(False, t),
        links={"Full plan": f"https://alma.example/{t}"},
        commands={"/alma help": "every command"},
        footer=t,
    )


def run_with(t: str) -> RunProgress:
    rows = (
        RunRow(
            f"prod/shop/{t}",
            Action.UPDATE,
            t,
            1.0,
            (TaskRef(t), TaskRef(t, f"https://alma.example/{t}")),
        ),
    )
    return RunProgress(
        f"r{t}", f"a{t}", RunState.PARKED, rows, 3.0, diagnosis=f"x\n{t}", next_step=t, confirm=t, revert_number=9
    )


@dataclass(frozen=True)
class Read:
    """What a renderer sees: block structure, headings, links, HTML, and the text outside code."""

    blocks: tuple[str, ...]
    headings: int
    links: tuple[str, ...]
    html: tuple[str, ...]
    images: int
    text: str


def read(markdown: str) -> Read:
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
    inline = [child for t in tokens if t.type == "inline" for child in t.children or ()]
    return Read(
        blocks=tuple(t.type for t in tokens if t.type != "inline"),
        headings=sum(1 for t in tokens if t.type == "heading_open"),
        links=tuple(str(t.attrs.get("href")) for t in inline if t.type == "link_open"),
        html=tuple(_tags(t) for t in [*tokens, *inline] if t.type in ("html_block", "html_inline")),
        images=sum(1 for t in inline if t.type == "image"),
        text="\n".join(t.content for t in inline if t.type == "text"),
    )


def _tags(token: Token) -> str:
    """Tags without what stands inside `<code>`, which is entities only."""
    return re.sub(r"<code>[^<>]*</code>", "<code/>", token.content).strip()


# What a forge's own filters would act on, in text outside code. `#9` is the revert pull request: ours.
ACTS = re.compile(
    r"""(?im) (?<![\w])@\w | (?<!\w)[\#!~%&$](?!9\b)\w | \b(?:https?|ftp)[:]// | www\. | \w@\w | ^\s*/\w | [<>\[\]`]
      | :\w+: | \$ | \b[0-9a-f]{7,40}\b | \b[A-Z]{2,}-\d | [\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\x00-\x08\x1b]
    """,
    re.VERBOSE,
)
