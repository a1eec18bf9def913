"""`alma.yaml`: scopes, policy, and what is wrong between scopes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from controller.blueprint.entry import Disruption
from controller.blueprint.repository import ScopeConfig, blueprint_files, load_repository
from controller.blueprint.repository_schema import Policy
from controller.blueprint.value import Output, Secret
from controller.errors import InvalidInput

DOCUMENTED = b"""\
version: 1
scopes:
  - name: base
    path: environments/base
    outputs: {net: "${resources.lan/net.outputs.id}"}
  - name: prod
    path: environments/prod/
    targets: {docker: [edge-1, edge-2], k8s: main, proxmox: pve}
    depends_on: [base]
    values: {domain: example.org, cpu: 4, password: {secret: "env:APP_PW"}, dns: [1.1.1.1]}
    self_heal: false
policy:
  gate: strict
  prune: {max_count: 5, max_percent: 10, percent_from: 8}
  audit: {fail_on: medium, frameworks: [SOC2, GDPR, PCI-DSS]}
  budget: {monthly_max: 500, currency: EUR}
  windows: [{cron: "0 2 * * *", for: 2h, timezone: Europe/Berlin, above: restart}]
  approvals: {required: 0, owners: {"environments/prod/**": [ops]}}
prices: prices.yaml
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        load_repository(text.encode())
    return [str(p) for p in caught.value.problems]


def scopes(text: str) -> str:
    return f"version: 1\nscopes:\n{text}\n"


def test_the_documented_file_is_read_as_it_is_written() -> None:
    read = load_repository(DOCUMENTED)
    base, prod = read.scopes
    assert (base.name, base.path, base.self_heal, base.targets) == ("base", "environments/base", True, {})
    assert base.outputs == {"net": Output("base/lan/net", "id")}
    assert prod.path == "environments/prod"
    assert prod.targets == {"docker": ("edge-1", "edge-2"), "kubernetes": ("main",), "proxmox": ("pve",)}
    assert prod.values == {"domain": "example.org", "cpu": 4, "password": Secret("env:APP_PW"), "dns": ("1.1.1.1",)}
    assert (prod.self_heal, prod.depends_on, prod.visible) == (False, ("base",), {"base": frozenset({"net"})})
    policy = read.policy
    assert (policy.gate, policy.prune.max_count, policy.prune.percent_from) == ("strict", 5, 8)
    assert (policy.audit.fail_on, policy.audit.frameworks[2]) == ("medium", "PCI-DSS")
    assert (policy.budget.monthly_max, policy.budget.currency) == (Decimal(500), "EUR")
    (window,) = policy.windows
    assert (window.cron, window.length_s, window.timezone) == ("0 2 * * *", 7200, "Europe/Berlin")
    assert window.above is Disruption.RESTART
    assert policy.approvals.owners == {"environments/prod/**": ("ops",)}
    assert (read.prices, read.written) == ("prices.yaml", True)
    assert read.scope("prod") is prod and read.scope("nope") is None


def test_without_a_file_there_is_one_scope_over_everything_and_the_default_policy() -> None:
    read = load_repository(None)
    assert read.scopes == (ScopeConfig("default", "."),)
    assert (read.policy, read.written) == (Policy(), False)
    assert load_repository(None, default_scope="shop").scopes[0].name == "shop"


def test_the_default_policy_is_the_documented_one() -> None:
    policy = load_repository(b"version: '1'\nscopes: [{name: a, path: .}]").policy
    assert policy == Policy()
    assert (policy.gate, policy.prune.max_count, policy.prune.max_percent) == ("destructive", 10, 25)
    assert (policy.prune.percent_from, policy.audit.fail_on, policy.approvals.required) == (4, "high", 0)
    assert policy.budget.monthly_max is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\nscopes: [{name: a, path: .}]\npolicy: {approvals: {required: -1}}", "approvals.required"),
        ("scopes: [{name: a, path: .}]", "alma.yaml:1:1: version: is required"),
        ("version: 2\nscopes: [{name: a, path: .}]", "alma.yaml:1:10: version: must be 1"),
        ("version: 1\nscopes: []", "alma.yaml:2:1: scopes: write at least one scope"),
        ("version: 1\nscopes: [{name: a, path: .}]\nscope: []", "scope: unknown key; did you mean scopes?"),
        (scopes("- {name: A, path: .}"), "scopes.0.name: A is no name"),
        (scopes("- {name: a, path: /etc}"), "/etc is no folder of this repository"),
        (scopes("- {name: a, path: ../b}"), "../b is no folder of this repository"),
        (scopes("- {name: a, path: b/../c}"), "b/../c is no folder of this repository"),
        (scopes("- {name: a, path: ./b}"), "./b is no folder of this repository"),
        (scopes("- {name: a, path: b//c}"), "b//c is no folder of this repository"),
        (scopes("- {name: a, path: .git}"), ".git is no folder of this repository"),
        (scopes("- {name: a, path: 'b\\c'}"), "is no folder of this repository"),
        (scopes("- {name: a, path: ''}"), "is no folder of this repository"),
        (scopes('- {name: a, path: "a\\u202eb"}'), "a\\u{202e}b is no folder of this repository"),
        (scopes("- {name: a, path: b, targets: {dokcer: x}}"), "dokcer is no engine; did you mean docker?"),
        (scopes("- {name: a, path: b, targets: {k8s: x, kubernetes: y}}"), "kubernetes is written twice"),
        (scopes("- {name: a, path: b, targets: {docker: []}}"), "list at least one target"),
        (scopes("- {name: a, path: b, targets: {docker: [x, x]}}"), "and each once"),
        (scopes("- {name: a, path: b, values: {a b: x}}"), "a b is no key"),
        (scopes("- {name: a, path: b, values: {x: '${values.y}'}}"), "x: values are plain"),
        (scopes("- {name: a, path: b, values: {x: {secret: hunter2}}}"), "never the value itself"),
        (scopes("- {name: a, path: b, outputs: {x: y}}"), "an output is a reference"),
        (scopes("- {name: a, path: b, self_heal: yes}"), "must be true or false"),
        (scopes("- {name: a, path: b, depends_on: [c]}"), "alma.yaml:3:22: scopes.0.depends_on: no scope c"),
        (scopes("- {name: aa, path: b}\n- {name: ab, path: c, depends_on: [aaa]}"), "did you mean aa?"),
        (scopes("- {name: a, path: b}\n- {name: a, path: c}"), "scope a is already written in line 3; rename one"),
        (scopes("- {name: a, path: b}\n- {name: c, path: b}"), "path b overlaps b of scope a in line 3"),
        (scopes("- {name: a, path: b}\n- {name: c, path: b/c}"), "scopes.1.path: path b/c overlaps b of scope a"),
        (scopes("- {name: a, path: b/c}\n- {name: c, path: b}"), "path b overlaps b/c of scope a"),
        (scopes("- {name: a, path: .}\n- {name: c, path: b}"), "path b overlaps . of scope a"),
        (scopes("- {name: a, path: b, depends_on: [a]}"), "scopes wait for each other: a → a"),
        (
            scopes("- {name: a, path: b, depends_on: [c]}\n- {name: c, path: d, depends_on: [a]}"),
            "scopes wait for each other: a → c → a",
        ),
        ("version: 1\nscopes: [{name: a, path: .}]\npolicy: {gate: of}", "must be 'strict', 'destructive' or 'off'"),
        ("version: 1\nscopes: [{name: a, path: .}]\npolicy: {prune: {max_percent: 101}}", "policy.prune.max_percent"),
        ("version: 1\nscopes: [{name: a, path: .}]\npolicy: {windows: [{cron: x, for: 2h}]}", "no cron expression"),
        (
            "version: 1\nscopes: [{name: a, path: .}]\npolicy: {windows: [{cron: '0 2 * * *', for: 2}]}",
            "policy.windows.0.for: 2 is no duration",
        ),
        (
            "version: 1\nscopes: [{name: a, path: .}]\npolicy: {windows: [{cron: '0 2 * * *', for: 2h, timezone: x}]}",
            "is no time zone",
        ),
        ("version: 1\nscopes: [{name: a, path: .}]\npolicy: {budget: {currency: euro}}", "euro is no currency"),
        ("version: 1\nscopes: [{name: a, path: .}]\nprices: ../prices.yaml", "is no file of this repository"),
    ],
)
def test_a_mistake_says_where_and_what_to_write(text: str, expected: str) -> None:
    found = mistakes(text)
    assert len(found) == 1, found
    assert expected in found[0]


def test_siblings_with_a_common_beginning_do_not_overlap() -> None:
    read = load_repository(scopes("- {name: a, path: env/prod}\n- {name: b, path: env/prod-2}").encode())
    assert not read.scopes[0].owns("env/prod-2/a.yaml")
    assert read.scopes[0].owns("env/prod/a.yaml")


def test_blueprints_are_the_visible_yaml_and_json_files_below_the_folder() -> None:
    paths = [
        "a/x.yaml",
        "a/b/y.yml",
        "a/z.json",
        "a/readme.md",
        "a/.hidden.yaml",
        "a/.git/c.yaml",
        "b/x.yaml",
        "a.yaml",
    ]
    assert blueprint_files(paths, ScopeConfig("s", "a")) == ("a/b/y.yml", "a/x.yaml", "a/z.json")
    everything = [*paths, "alma.yaml", "alma-server.yaml", "prices.yaml", ".github/w.yml"]
    assert blueprint_files(everything, ScopeConfig("s", "."), "prices.yaml") == (
        "a.yaml",
        "a/b/y.yml",
        "a/x.yaml",
        "a/z.json",
        "b/x.yaml",
    )


def test_a_thousand_scopes_are_compared_and_a_flood_of_mistakes_is_cut() -> None:
    text = "".join(f"- {{name: s{i}, path: env/s{i}}}\n" for i in range(1000))
    assert len(load_repository(scopes(text).encode()).scopes) == 1000
    flood = "".join(f"- {{name: s{i}, path: env, depends_on: [x{i}]}}\n" for i in range(5000))
    assert len(mistakes(scopes(flood))) == 100
