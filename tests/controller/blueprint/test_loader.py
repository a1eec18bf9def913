"""The files of a scope become entries; D8: mistakes between them name the path."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import date

import pytest

from controller.blueprint.cycles import cycles
from controller.blueprint.entry import Disruption, Entry, Lifecycle, OnDelete, Probe, ProbeKind, Tolerated, UpdateOrder
from controller.blueprint.limits import Limits
from controller.blueprint.loader import LoadedScope, ParsedBlueprint, assemble, load_scope, parse_blueprint
from controller.blueprint.repository import ScopeConfig
from controller.blueprint.value import Output, Secret, Text
from controller.errors import InvalidInput, Place

ReportN = Callable[..., None]
PROD = ScopeConfig("prod", ".", values={"domain": "example.org", "edge": "edge-2"})


def load(files: dict[str, str], scope: ScopeConfig = PROD, limits: Limits | None = None) -> LoadedScope:
    return load_scope({f: text.encode() for f, text in files.items()}, scope, limits or Limits())


def mistakes(files: dict[str, str], scope: ScopeConfig = PROD, limits: Limits | None = None) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        load(files, scope, limits)
    return [str(p) for p in caught.value.problems]


def one(text: str, scope: ScopeConfig = PROD) -> Entry:
    """The entry of a resource `b` whose further keys are `text`."""
    loaded = load({"a.yaml": f"name: a\nresources:\n- name: b\n  type: container\n{text}\n"}, scope)
    return loaded.entries[0]


def wrong(text: str) -> str:
    (found,) = mistakes({"a.yaml": f"name: a\nresources:\n- name: b\n  type: container\n{text}\n"})
    return found


def test_a_resource_becomes_an_entry_with_every_part_in_its_place() -> None:
    loaded = load(
        {
            "x/shop.yaml": (
                "name: shop\nprovider: fake\nmetadata: {owner: ops, env: prod}\nresources:\n"
                "- name: web\n  type: container\n  engine: nginx\n  version: 1.25\n  target: '${values.edge}'\n"
                "  specs: {memory: 512MB, url: 'http://${resources.db.outputs.address}/', pw: {secret: 'env:PW'}}\n"
                "  network: {dns: '${values.domain}'}\n  metadata: {env: test}\n  dependencies: [base/net]\n"
                "  health: {http: {port: 80, path: /up}, timeout: 30s}\n"
                "  lifecycle: {protect: true, ignore: [env.A], on_delete: retain,"
                " max_disruption: restart, update: start-first}\n"
                "  wave: 2\n  formerly: [www, old/web]\n  adopt: 0123abc\n"
                "  waivers: [{rule: SEC1, reason: known, by: ops, until: 2030-01-01}]\n"
                "  tolerate: [{field: env.B, reason: known, until: 2030-01-02}]\n"
                "- {name: db, type: database}\n"
            ),
            "base.yaml": (
                "name: base\ndescription: shared\nconstraints: {max_cost: 100 EUR}\n"
                "resources: [{name: net, type: network}]\n"
            ),
        }
    )
    assert [e.id for e in loaded.entries] == ["prod/base/net", "prod/shop/db", "prod/shop/web"]
    assert loaded.files == ("base.yaml", "x/shop.yaml")
    assert [(b.name, b.description, str(b.constraints.max_cost)) for b in loaded.blueprints] == [
        ("base", "shared", "100"),
        ("shop", "", "None"),
    ]
    web = loaded.entries[2]
    assert (web.provider, web.product, web.version, web.target) == ("simulation", "nginx", "1.25", "edge-2")
    assert web.specs == {
        "memory": "512MB",
        "url": Text(("http://", Output("prod/shop/db", "address"), "/")),
        "pw": Secret("env:PW"),
    }
    assert (web.network, web.metadata) == ({"dns": "example.org"}, {"owner": "ops", "env": "test"})
    assert web.dependencies == ("prod/base/net", "prod/shop/db")
    assert web.health == Probe(ProbeKind.HTTP, 80, "/up", timeout_s=30)
    assert web.lifecycle == Lifecycle(True, ("env.A",), OnDelete.RETAIN, Disruption.RESTART, UpdateOrder.START_FIRST)
    assert (web.wave, web.formerly, web.adopt, web.index) == (2, ("prod/shop/www", "prod/old/web"), "0123abc", 0)
    assert web.waivers[0].until == date(2030, 1, 1) and web.waivers[0].place.line == 19
    assert web.tolerate == (Tolerated("env.B", "known", date(2030, 1, 2), Place("x/shop.yaml", 20, 14)),)
    assert web.place == Place("x/shop.yaml", 5, 9)
    assert web.locate("specs.memory") == Place("x/shop.yaml", 10, 19)
    assert str(web.problem("specs.memory", "no")) == "x/shop.yaml:10:19: resources.0.specs.memory: no"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{http: {path: /x}}", Probe(ProbeKind.HTTP, None, "/x")),
        ("{tcp: {port: 5432}}", Probe(ProbeKind.TCP, 5432)),
        ("{tcp: 5432, timeout: 1m}", Probe(ProbeKind.TCP, 5432, timeout_s=60)),
        ("{exec: [pg_isready, '${values.domain}']}", Probe(ProbeKind.EXEC, command=("pg_isready", "example.org"))),
        ("{running: true}", Probe(ProbeKind.RUNNING)),
        ("{timeout: 10s}", Probe(ProbeKind.PLATFORM, timeout_s=10)),
    ],
)
def test_each_form_of_health_is_a_probe(text: str, expected: Probe) -> None:
    assert one(f"  health: {text}").health == expected


def test_the_nearest_provider_wins() -> None:
    scope = ScopeConfig("prod", provider="proxmox")
    text = "name: a\n%sresources:\n- {name: b, type: vm%s}\n"
    assert load({"a.yaml": text % ("", "")}, scope).entries[0].provider == "proxmox"
    assert load({"a.yaml": text % ("provider: docker\n", "")}, scope).entries[0].provider == "docker"
    assert load({"a.yaml": text % ("provider: docker\n", ", provider: k8s")}, scope).entries[0].provider == "kubernetes"
    assert load({"a.yaml": text % ("", "")}).entries[0].provider is None


def test_disk_and_storage_are_one_quantity() -> None:
    assert one("  specs: {disk: 1GB, storage: 1024MB}").specs == {"disk": "1GB"}
    assert one("  specs: {storage: 1GB}").specs == {"storage": "1GB"}
    assert "disk and storage are one quantity and differ here" in wrong("  specs: {disk: 1GB, storage: 2GB}")
    assert wrong("  specs: {disk: x, storage: y}").startswith("a.yaml:5:29: resources.0.specs.storage: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  dependencies: [c]", "a.yaml:5:18: resources.0.dependencies.0: no resource c"),
        ("  dependencies: [x/y/z]", "no resource x/y/z"),
        ("  specs: {env: {A: '${values.nope}'}}", "a.yaml:5:20: resources.0.specs.env.A: no value nope"),
        ("  target: '${resources.b.outputs.x}'", "resources.0.target: only text and ${values.KEY} may stand here"),
        ("  version: '${values.nope}'", "resources.0.version: no value nope"),
        ("  health: {exec: ['${resources.b.outputs.x}']}", "resources.0.health.exec.0: only text and ${values.KEY}"),
        ("  specs: {secret: 'env:A'}", "resources.0.specs: must be a map"),
        ("  metadata: {$secret: x}", "resources.0.metadata: a map with the one key $secret is reserved"),
        ("  formerly: [a/b/c]", "resources.0.formerly.0: a/b/c is no former name"),
        ("  formerly: ['a/B']", "resources.0.formerly.0: a/B is no former name"),
        ("  health: {http: {path: 'x y'}}", "a.yaml:5:25: resources.0.health.http.path: x y is no path"),
        ("  formerly: [b]", "resources.0.formerly.0: a/b is still a resource of this scope"),
    ],
)
def test_a_mistake_in_one_resource_stands_at_its_place(text: str, expected: str) -> None:
    assert expected in wrong(text)


def test_two_resources_cannot_take_over_one_name() -> None:
    text = "name: a\nresources:\n- {name: b, type: vm, formerly: [x]}\n- {name: c, type: vm, formerly: [a/x]}\n"
    assert mistakes({"a.yaml": text}) == [
        "a.yaml:4:34: resources.1.formerly.0: a/x is also taken over by prod/a/b (a.yaml:3:10)"
    ]


def test_a_blueprint_is_named_once_in_its_scope() -> None:
    files = {"a.yaml": "name: a\nresources: []", "b/c.yaml": "name: a\nresources: []"}
    assert mistakes(files) == ["b/c.yaml:1:7: name: blueprint a is already at a.yaml:1:7; rename one"]


def test_mistakes_of_all_files_are_told_at_once() -> None:
    files = {"a.yaml": "name: A\nresources: []", "b.yaml": "[", "c.yaml": "name: c\nresources: [{}]"}
    assert [m.partition(":")[0] for m in mistakes(files)] == ["a.yaml", "b.yaml", "c.yaml", "c.yaml"]


def test_an_output_that_a_scope_declares_names_a_resource_of_it() -> None:
    scope = ScopeConfig("prod", outputs={"net": Output("prod/base/net", "id")})
    assert mistakes({"a.yaml": "name: a\nresources: []"}, scope) == [
        "alma.yaml:1:1: scopes: output net of scope prod names base/net, which is no resource of it"
    ]
    load({"a.yaml": "name: base\nresources: [{name: net, type: network}]"}, scope)


def test_limits_of_a_scope_hold() -> None:
    two = "name: a\nresources: [{name: b, type: vm}, {name: c, type: vm, dependencies: [b]}]"
    assert "2 resources; a scope may have 1" in mistakes({"a.yaml": two}, limits=Limits(resources=1))[0]
    assert "1 dependencies; a scope may have 0" in mistakes({"a.yaml": two}, limits=Limits(edges=0))[0]
    assert "1 blueprint files; a scope may have 0" in mistakes({"a.yaml": two}, limits=Limits(scope_files=0))[0]
    assert "bytes of blueprints" in mistakes({"a.yaml": two}, limits=Limits(scope_bytes=10))[0]
    aliases = "name: a\nmetadata: {x: &x [1, 2, 3], y: [*x, *x]}\nresources: []"
    assert (
        "more than 10 values in the blueprints of one scope"
        in mistakes({"a.yaml": aliases}, limits=Limits(scope_nodes=10))[0]
    )
    flood = "name: a\nresources:\n" + "".join(f"- {{name: r{i}, type: vm, dependencies: [x{i}]}}\n" for i in range(500))
    assert len(mistakes({"a.yaml": flood})) == 100


def test_a_cache_may_stand_in_for_parsing_and_its_entries_survive_a_process() -> None:
    kept = {"a.yaml": pickle.dumps(parse_blueprint("a.yaml", b"name: a\nresources: [{name: b, type: vm}]"))}

    def cached(file: str, data: bytes, limits: Limits) -> ParsedBlueprint:
        parsed: ParsedBlueprint = pickle.loads(kept[file])
        return parsed

    loaded = load_scope({"a.yaml": b"not read"}, PROD, parse=cached)
    assert [e.id for e in loaded.entries] == ["prod/a/b"]
    assert pickle.loads(pickle.dumps(loaded)) == loaded
    assert parse_blueprint("a.yaml", b"[") == pickle.loads(pickle.dumps(parse_blueprint("a.yaml", b"[")))


def test_the_order_of_files_changes_nothing() -> None:
    parsed = [parse_blueprint(f"{n}.yaml", f"name: {n}\nresources: [{{name: r, type: vm}}]".encode()) for n in "cab"]
    assert assemble(parsed, PROD) == assemble(parsed[::-1], PROD)


def ring(length: int, files: int) -> dict[str, str]:
    """`length` resources that each wait for the next and the last for the first, spread over `files`."""
    texts = {f"f{f}.yaml": f"name: f{f}\nresources:\n" for f in range(files)}
    for i in range(length):
        after = (i + 1) % length
        texts[f"f{i % files}.yaml"] += f"- {{name: r{i}, type: vm, dependencies: [f{after % files}/r{after}]}}\n"
    return texts


@pytest.mark.parametrize(
    ("length", "files", "path"),
    [
        (1, 1, "f0/r0 → f0/r0"),
        (2, 1, "f0/r0 → f0/r1 → f0/r0"),
        (2, 2, "f0/r0 → f1/r1 → f0/r0"),
        (3, 3, "f0/r0 → f1/r1 → f2/r2 → f0/r0"),
        (1000, 7, "… 989 more … → f5/r999 → f0/r0"),
        (10_000, 100, "… 9989 more … → f99/r9999 → f0/r0"),
    ],
)
def test_a_cycle_is_named_with_its_path(length: int, files: int, path: str, report_n: ReportN) -> None:
    (found,) = mistakes(ring(length, files))
    assert found.startswith("f0.yaml:3:")
    assert "resources.0.dependencies: resources wait for each other: f0/r0" in found
    assert path in found
    report_n("D8", 1)


def test_cycles_through_references_and_beside_each_other_are_each_named(report_n: ReportN) -> None:
    text = "name: a\nresources:\n- {name: b, type: vm, specs: {x: '${resources.c.outputs.y}'}}\n"
    text += "- {name: c, type: vm, dependencies: [b]}\n- {name: d, type: vm, dependencies: [d, c]}\n"
    found = [m.partition("each other: ")[2] for m in mistakes({"a.yaml": text})]
    assert found == ["a/b → a/c → a/b", "a/d → a/d"]
    report_n("D8", 1)


def test_names_that_are_missing_or_ambiguous_say_what_is_there(report_n: ReportN) -> None:
    files = {
        "a.yaml": "name: a\nresources: [{name: web, type: vm, dependencies: [db]}]",
        "b.yaml": "name: b\nresources: [{name: db, type: vm}]",
        "c.yaml": "name: c\nresources: [{name: db, type: vm, dependencies: [b/dbb]}]",
    }
    assert mistakes(files) == [
        "a.yaml:2:50: resources.0.dependencies.0: no resource db in blueprint a; did you mean b/db or c/db?",
        "c.yaml:2:49: resources.0.dependencies.0: no resource b/dbb; did you mean b/db?",
    ]
    report_n("D8", 2)


def test_ten_thousand_resources_in_one_chain_load(report_n: ReportN) -> None:
    files = ring(10_000, 100)
    files["f99.yaml"] = files["f99.yaml"].replace(", dependencies: [f0/r0]", "")
    loaded = load(files)
    assert len(loaded.entries) == 10_000
    assert sum(len(e.dependencies) for e in loaded.entries) == 9_999
    report_n("D8", 1)


def test_ten_cycles_are_told_and_the_walk_ends() -> None:
    assert len(cycles({str(i): [str(i)] for i in range(500)})) == 10
    assert cycles({"a": ["b", "x"], "b": []}) == []
