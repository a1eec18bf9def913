"""What reaches the host is refused when a blueprint is expanded, and again on the body before it is sent (D14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.plan.resource import Allow, ObjectKey
from controller.plan.step import Expect, OpId, Phase, Prior, Step
from engines.docker import container, policy
from engines.docker.engine import DockerEngine
from engines.engine import Refused, Values
from tests.engines.docker.driving import Held, binding, entry, expand, web, with_specs

Body = dict[str, Any]
DATA = entry("data", "volume")
CAPABILITIES = ["ALL", "CAP_SYS_ADMIN", "sys_admin", "NET_ADMIN", "SYS_PTRACE", "SYS_MODULE", "DAC_READ_SEARCH"]
SOURCES = [
    "/",
    "/proc",
    "/sys",
    "/dev",
    "/etc",
    "/root/.ssh",
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/var/lib/docker",
    "/srv/media/../../etc",
    "/srv//media",
    "/srv/media/.",
    "/srv/media2",
]
SPECS: list[dict[str, Any]] = [
    {"privileged": True},
    {"privileged": "true"},
    {"privileged": 1},
    *({"cap_add": [c]} for c in CAPABILITIES),
    {"cap_add": "SYS_ADMIN"},
    {"pid": "host"},
    {"pid": "container:other"},
    {"pid": "service:db"},
    {"ipc": "host"},
    {"ipc": "container:other"},
    {"ipc": "shareable"},
    {"uts": "host"},
    {"userns_mode": "host"},
    {"cgroup": "host"},
    {"cgroup_parent": "/system.slice"},
    {"network_mode": "host"},
    {"network_mode": "container:other"},
    {"network_mode": "service:db"},
    {"devices": ["/dev/sda"]},
    {"devices": ["/dev/sda:/dev/xvda:rwm"]},
    {"devices": ["/dev/../dev/mem"]},
    {"device_cgroup_rules": ["b 8:* rmw"]},
    {"gpus": "all"},
    *({"volumes": [f"{s}:/mnt"]} for s in SOURCES),
    *({"volumes": [{"type": "bind", "source": s, "target": "/mnt"}]} for s in SOURCES[:7]),
    {"volumes": ["./relative:/mnt"]},
    {"volumes": ["~/home:/mnt"]},
    {"volumes": ["data:/proc"]},
    {"volumes": ["data:/sys/fs/cgroup"]},
    {"volumes": ["data:/dev"]},
    {"volumes": ["data:/data:shared"]},
    {"volumes": ["data:/data:z,rshared"]},
    {"volumes": ["data:/"]},
    {"volumes": ["data:/../etc"]},
    {"volumes": [{"type": "npipe", "source": "x", "target": "/mnt"}]},
    {"volumes": [{"type": "bind", "source": "/etc", "target": "/mnt", "bind": {"propagation": "shared"}}]},
    {"volumes": [{"type": "volume", "source": "data", "target": "/mnt", "volume": {"nocopy": True}}]},
    {"volumes": ["alma-note-0000000000000000-1:/mnt"]},
    {"tmpfs": ["/run:exec,suid,dev"]},
    {"tmpfs": ["/proc"]},
    {"security_opt": ["seccomp=unconfined"]},
    {"security_opt": ["seccomp:unconfined"]},
    {"security_opt": ["apparmor=unconfined"]},
    {"security_opt": ["label=disable"]},
    {"security_opt": ["systempaths=unconfined"]},
    {"security_opt": ["no-new-privileges:false"]},
    {"runtime": "runc-root"},
    {"sysctls": {"kernel.shm_rmid_forced": "1"}},
    {"sysctls": ["net.ipv4.ip_forward=1"]},
    {"volumes_from": ["other"]},
    {"volumes_from": ["container:other:rw"]},
    {"volume_driver": "rexray"},
    {"oom_kill_disable": True},
    {"oom_score_adj": -1000},
    {"links": ["other"]},
    {"external_links": ["other"]},
    {"isolation": "process"},
    {"cpu_rt_runtime": 950000},
    {"blkio_config": {"weight": 300}},
    {"build": "https://example.org/repo.git"},
    {"build": {"context": "."}},
    {"env_file": "/etc/environment"},
    {"env": ["AWS_SECRET_ACCESS_KEY"]},
    {"env": {"HOME": None}},
    {"credential_spec": {"file": "x"}},
    {"logging": {"driver": "syslog", "options": {"syslog-address": "tcp://10.0.0.1"}}},
    {"logging": {"driver": "gelf"}},
    {"labels": {"alma.install": "home"}},
    {"labels": {"alma.scope": "other"}},
    {"labels": {"ALMA.op": "x"}},
    {"labels": ["alma.resource=prod/shop/db"]},
    {"labels": {"com.docker.compose.project": "x"}},
    {"restart": "always:3"},
    {"restart": "unless-stopped; rm"},
    {"userns": "host"},
    {"masked_paths": []},
    {"name": "--privileged"},
    {"name": "web.run1.old"},
    {"image": "--privileged"},
    {"image": "web 1.0"},
    {"files": {"/etc/../../x": "x"}},
    {"files": {"etc/x": "x"}},
]
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("volume", {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}),
    ("volume", {"driver_opts": {"type": "overlay", "o": "lowerdir=/etc"}}),
    ("volume", {"driver_opts": {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/"}}),
    ("volume", {"driver": "vieux/sshfs"}),
    ("volume", {"labels": {"alma.note.of": "x"}}),
    ("volume", {"name": "alma-note-0000000000000000-1"}),
    ("network", {"driver": "host"}),
    ("network", {"driver": "macvlan", "driver_opts": {"parent": "eth0"}}),
    ("network", {"driver": "ipvlan"}),
    ("network", {"driver": "overlay"}),
    ("network", {"driver_opts": {"com.docker.network.bridge.name": "br0"}}),
    ("network", {"driver_opts": {"com.docker.network.container_iface_prefix": "x"}}),
    ("network", {"ipam": {"driver": "dhcp"}}),
    ("network", {"external": True, "name": "host"}),
    ("network", {"labels": {"alma.op": "x"}}),
]


@pytest.mark.parametrize("specs", SPECS, ids=str)
def test_a_blueprint_that_reaches_the_host_does_not_expand(
    specs: dict[str, Any], report_n: Callable[..., None]
) -> None:
    objects, problems = expand([DATA, with_specs(web(), **specs)])
    assert problems, specs
    assert [o.key.kind for o in objects] == ["docker/volume"]
    assert all(p.place and p.message for p in problems)
    report_n("D14", 1)


@pytest.mark.parametrize(("type_", "specs"), OTHERS, ids=str)
def test_a_volume_or_network_that_reaches_the_host_does_not_expand(
    type_: str, specs: dict[str, Any], report_n: Callable[..., None]
) -> None:
    objects, problems = expand([entry("x", type_, specs=specs)])
    assert problems and not objects
    report_n("D14", 1)


HOST_CONFIGS: list[dict[str, Any]] = [
    {"Privileged": True},
    {"CapAdd": ["SYS_ADMIN"]},
    {"CapAdd": ["cap_sys_admin"]},
    {"CapAdd": ["ALL"]},
    {"PidMode": "host"},
    {"PidMode": "container:x"},
    {"IpcMode": "host"},
    {"UTSMode": "host"},
    {"UsernsMode": "host"},
    {"CgroupnsMode": "host"},
    {"CgroupParent": "/x"},
    {"Cgroup": "container:x"},
    {"NetworkMode": "host"},
    {"NetworkMode": "container:x"},
    {"Devices": [{"PathOnHost": "/dev/sda"}]},
    {"Devices": [{"PathOnHost": "/dev/dri/../sda"}]},
    {"DeviceCgroupRules": ["a *:* rwm"]},
    {"DeviceRequests": [{"Count": -1}]},
    {"Binds": ["/:/host"]},
    {"Binds": ["data:/data"]},
    *({"Mounts": [{"Type": "bind", "Source": s, "Target": "/mnt"}]} for s in SOURCES),
    {"Mounts": [{"Type": "bind", "Source": "/srv/media", "Target": "/mnt", "BindOptions": {"Propagation": "shared"}}]},
    {"Mounts": [{"Type": "volume", "Source": "x", "Target": "/m", "VolumeOptions": {"DriverConfig": {"Name": "y"}}}]},
    {"Mounts": [{"Type": "volume", "Source": "../x", "Target": "/m"}]},
    {"Mounts": [{"Type": "volume", "Source": "x", "Target": "/proc"}]},
    {"Mounts": [{"Type": "tmpfs", "Target": "/sys"}]},
    {"Mounts": [{"Type": "npipe", "Source": "x", "Target": "/m"}]},
    {"SecurityOpt": ["seccomp=unconfined"]},
    {"SecurityOpt": ["apparmor:unconfined"]},
    {"Runtime": "other"},
    {"Sysctls": {"net.ipv4.ip_forward": "1"}},
    {"VolumesFrom": ["x"]},
    {"VolumeDriver": "x"},
    {"OomKillDisable": True},
    {"OomScoreAdj": -1000},
    {"Links": ["x:y"]},
    {"Isolation": "hyperv"},
    {"MaskedPaths": ["/nothing"]},
    {"ReadonlyPaths": ["/nothing"]},
    {"LogConfig": {"Type": "syslog"}},
    {"Tmpfs": {"/run": "exec"}},
    {"CpuRealtimeRuntime": 1},
    {"BlkioWeight": 10},
    {"AutoRemove": True},
    {"ContainerIDFile": "/etc/cron.d/x"},
    {"SomethingNew": True},
]
TOPS: list[dict[str, Any]] = [
    {"Volumes": {"/data": {}}},
    {"MacAddress": "02:42:ac:11:00:02"},
    {"OnBuild": ["x"]},
    {"Labels": {"alma.op": "x"}},
    {"SomethingNew": True},
]


UPDATES: list[Body] = [{"Privileged": True}, {"Devices": [{"PathOnHost": "/dev/sda"}]}]
VOLUMES: list[Body] = [
    {"DriverOpts": {"type": "none", "o": "bind", "device": "/"}},
    {"Driver": "sshfs"},
    {"ClusterVolumeSpec": {}},
]
NETWORKS: list[Body] = [
    {"Driver": "macvlan"},
    {"Options": {"com.docker.network.bridge.name": "br0"}},
    {"ConfigFrom": {"Network": "x"}},
    {"Ingress": True},
    {"IPAM": {"Driver": "dhcp"}},
]


def bodies() -> list[tuple[str, Body]]:
    """Every danger as the host would read it."""
    found = [("container.create", made_of(HostConfig=h)) for h in HOST_CONFIGS]
    found += [("container.create", made_of(**t)) for t in TOPS]
    found += [("container.update", u) for u in UPDATES]
    found += [("volume.create", {"Name": "v", "Driver": "local", **v}) for v in VOLUMES]
    return found + [("network.create", {"Name": "n", "Driver": "bridge", **n}) for n in NETWORKS]


def made_of(**more: Any) -> Body:
    return {"Image": "x", **more}


@pytest.mark.parametrize(("call", "body"), bodies(), ids=str)
async def test_a_body_that_reaches_the_host_is_not_sent(
    call: str, body: dict[str, Any], report_n: Callable[..., None]
) -> None:
    """The host of this engine does not exist: anything that passed the policy would end in Transient."""
    engine = DockerEngine.open(binding("unix:///nonexistent/docker.sock"))
    mark = {"scope": "prod", "resource": "prod/shop/x", "protect": False, "on_delete": "destroy", "fields": ()}
    request = {"call": call, "body": body, "mark": mark, "image": "x"}
    step = Step(Phase.STAGE, ObjectKey("docker/container", "x"), Expect(absent=True), request)
    with pytest.raises(Refused):
        await engine.do(OpId("op"), step, Prior(), Values(), Held())
    await engine.close()
    report_n("D14", 1)


ALLOWED: list[tuple[dict[str, Any], dict[str, tuple[str, ...]]]] = [
    ({"volumes": ["/srv/media:/media:ro"]}, {"docker.host_paths": ("/srv/media:ro",)}),
    ({"volumes": ["/srv/media:/media"]}, {"docker.host_paths": ("/srv/media",)}),
    ({"volumes": ["/srv/media/films:/media"]}, {"docker.host_paths": ("/srv/**",)}),
    ({"devices": ["/dev/dri/card0"]}, {"docker.devices": ("/dev/dri",)}),
    ({"cap_add": ["CAP_NET_ADMIN"]}, {"docker.capabilities": ("NET_ADMIN",)}),
    ({"network_mode": "host"}, {"docker.network_modes": ("host",)}),
    ({"sysctls": {"net.core.somaxconn": 1024}}, {"docker.sysctls": ("net.core.somaxconn",)}),
    ({"runtime": "runsc"}, {"docker.runtimes": ("runsc",)}),
    ({"logging": {"driver": "gelf"}}, {"docker.log_drivers": ("gelf",)}),
    ({"security_opt": ["no-new-privileges:true"], "cap_drop": ["ALL"], "network_mode": "none"}, {}),
]


@pytest.mark.parametrize(("specs", "options"), ALLOWED, ids=str)
def test_server_policy_can_open_a_door_by_name(specs: dict[str, Any], options: dict[str, tuple[str, ...]]) -> None:
    objects, problems = expand([web(**specs)], Allow(options=options))
    assert not problems
    body = container.body(objects[0].fields, "x")
    assert policy.container(body, Allow(options=options)) == []


@pytest.mark.parametrize(
    ("source", "mode", "pattern"),
    [
        ("/srv/media", "", "/srv/media:ro"),
        ("/srv/media/x", ":ro", "/srv/media:ro"),
        ("/srvx", "", "/srv/**"),
        ("/run/docker.sock", "", "/run/**"),
    ],
)
def test_a_door_opens_no_further_than_it_says(source: str, mode: str, pattern: str) -> None:
    _, problems = expand([web(volumes=[f"{source}:/mnt{mode}"])], Allow(options={"docker.host_paths": (pattern,)}))
    assert [p.path for p in problems] == ["resources.0.specs.volumes.0"]


async def test_a_symlink_out_of_an_allowed_path_is_refused_where_the_host_is_ours(tmp_path: Any) -> None:
    (tmp_path / "link").symlink_to("/etc")
    allow = Allow(options={"docker.host_paths": (f"{tmp_path}/**",)})
    engine = DockerEngine.open(binding("unix:///nonexistent/docker.sock"))
    mount = {"Type": "bind", "Source": f"{tmp_path}/link", "Target": "/mnt"}
    request = {"call": "container.create", "body": {"Image": "x", "HostConfig": {"Mounts": [mount]}}, "image": "x"}
    step = Step(Phase.STAGE, ObjectKey("docker/container", "x"), Expect(absent=True), request)
    with pytest.raises(Refused, match="leads to a path"):
        await engine.do(OpId("op"), step, Prior(), Values(allow=allow), Held())
    await engine.close()


def test_server_policy_can_ask_for_digests() -> None:
    allow = Allow(options={"docker.require_digest": ("true",)})
    assert [p.path for p in expand([web()], allow)[1]] == ["resources.0.specs.image"]
    assert expand([web(image="web@sha256:" + "0" * 64)], allow)[1] == []
