"""Firewalls of cluster, nodes and guests: rules by position, options, aliases, address sets, security groups."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from tests.proxmox.calls import Call, Handler, Routes
from tests.proxmox.drives import Line
from tests.proxmox.faults import bad_parameter, died
from tests.proxmox.named_formats import split_list
from tests.proxmox.world import Firewall, World

_NOT_RULE = frozenset({"node", "vmid", "pos", "digest", "moveto", "delete", "group"})
_NUMBERS = frozenset({"enable", "dhcp", "macfilter", "ndp", "radv", "ipfilter", "ebtables", "nomatch"})

Scope = Callable[[Call], str]


def _digest(value: object) -> str:
    return hashlib.sha1(repr(value).encode(), usedforsecurity=False).hexdigest()


def _shown(values: Line) -> dict[str, Any]:
    return {key: int(value) if key in _NUMBERS else value for key, value in values.items()}


def _check_digest(call: Call, current: object) -> None:
    if call.optional("digest") not in (None, _digest(current)):
        raise died("detected modified configuration - file changed by other user? Try again.")


def firewall(world: World, scope: str) -> Firewall:
    """The firewall file of a scope; made empty on first use."""
    return world.firewalls.setdefault(scope, Firewall())


def _rules(world: World, scope: str) -> list[Line]:
    return firewall(world, scope).rules


def _position(call: Call, rules: list[Line]) -> int:
    if not 0 <= call.number("pos") < len(rules):
        raise died(f"no rule at position {call.number('pos')}")
    return call.number("pos")


def _list(call: Call, scope: str) -> list[dict[str, Any]]:
    rules = _rules(call.world, scope)
    return [{"pos": n, **_shown(rule), "digest": _digest(rules)} for n, rule in enumerate(rules)]


def _read(call: Call, scope: str) -> dict[str, Any]:
    rules = _rules(call.world, scope)
    position = _position(call, rules)
    return {"pos": position, **_shown(rules[position]), "digest": _digest(rules)}


def _insert(call: Call, scope: str) -> None:
    rules = _rules(call.world, scope)
    _check_digest(call, rules)
    rule = _given(call)
    _check(rule)
    # A new rule comes first and is switched off, whatever position was asked for.
    rules.insert(0, {"enable": "0", **rule})


def _given(call: Call) -> Line:
    return {key: str(value) for key, value in call.params.items() if key not in _NOT_RULE}


def _check(rule: Line) -> None:
    if ("dport" in rule or "sport" in rule) and "proto" not in rule and "macro" not in rule:
        name = "dport" if "dport" in rule else "sport"
        raise bad_parameter(name, "missing 'proto' property")
    if rule.get("type") == "group" and "macro" in rule:
        raise bad_parameter("macro", "security group does not support macros")


def _change(call: Call, scope: str) -> None:
    rules = _rules(call.world, scope)
    _check_digest(call, rules)
    position = _position(call, rules)
    target = call.optional("moveto")
    if target is not None:
        _move(rules, position, int(target))
        return
    removed = split_list(call.text("delete"))
    rule = {key: value for key, value in {**rules[position], **_given(call)}.items() if key not in removed}
    _check(rule)
    rules[position] = rule


def _move(rules: list[Line], position: int, target: int) -> None:
    """The rule comes to stand before the one that was at `target`."""
    if target != position:
        rule = rules.pop(position)
        rules.insert(target - 1 if target > position else target, rule)


def _remove(call: Call, scope: str) -> None:
    rules = _rules(call.world, scope)
    _check_digest(call, rules)
    del rules[_position(call, rules)]


def _options(call: Call, scope: str) -> dict[str, Any]:
    options = firewall(call.world, scope).options
    return {**_shown(options), "digest": _digest(options)}


def _set_options(call: Call, scope: str) -> None:
    options = firewall(call.world, scope).options
    _check_digest(call, options)
    for key in split_list(call.text("delete")):
        options.pop(key, None)
    options |= _given(call)


def _aliases(call: Call, scope: str) -> list[dict[str, Any]]:
    aliases = firewall(call.world, scope).aliases
    return [{"name": name, **alias, "digest": _digest(aliases)} for name, alias in aliases.items()]


def _add_alias(call: Call, scope: str) -> None:
    aliases, name = firewall(call.world, scope).aliases, call.text("name").lower()
    if name in aliases:
        raise bad_parameter("name", f"alias '{call.text('name')}' already exists")
    aliases[name] = {key: call.text(key) for key in ("cidr", "comment") if key in call.params}


def _drop_alias(call: Call, scope: str) -> None:
    aliases = firewall(call.world, scope).aliases
    _check_digest(call, aliases)
    if aliases.pop(call.text("name").lower(), None) is None:
        raise bad_parameter("name", f"no such alias '{call.text('name')}'")


def _sets(call: Call, scope: str) -> list[dict[str, Any]]:
    sets = firewall(call.world, scope).sets
    return [{"name": name, "digest": _digest(entries)} for name, entries in sets.items()]


def _add_set(call: Call, scope: str) -> None:
    sets = firewall(call.world, scope).sets
    if call.text("name") in sets:
        raise bad_parameter("name", f"IPSet '{call.text('name')}' already exists")
    sets[call.text("name")] = {}


def _set(call: Call, scope: str) -> dict[str, Line]:
    sets = firewall(call.world, scope).sets
    if call.text("name") not in sets:
        raise died(f"no such IPSet '{call.text('name')}'")
    return sets[call.text("name")]


def _drop_set(call: Call, scope: str) -> None:
    if _set(call, scope) and not call.flag("force"):
        raise died(f"IPSet '{call.text('name')}' is not empty")
    del firewall(call.world, scope).sets[call.text("name")]


def _members(call: Call, scope: str) -> list[dict[str, Any]]:
    entries = _set(call, scope)
    return [{"cidr": cidr, **_shown(entry), "digest": _digest(entries)} for cidr, entry in entries.items()]


def _add_member(call: Call, scope: str) -> None:
    entries, cidr = _set(call, scope), call.text("cidr")
    if cidr in entries:
        raise died(f"address '{cidr}' already exists")
    entries[cidr] = {key: call.text(key) for key in ("comment", "nomatch") if key in call.params}


def _drop_member(call: Call, scope: str) -> None:
    if _set(call, scope).pop(call.text("cidr"), None) is None:
        raise died(f"no such address '{call.text('cidr')}'")


def _groups(call: Call) -> list[dict[str, Any]]:
    return [
        {"group": name.partition("/")[2], "digest": _digest(found.rules)}
        for name, found in call.world.firewalls.items()
        if name.startswith("group/")
    ]


def _add_group(call: Call) -> None:
    name = f"group/{call.text('group')}"
    if name in call.world.firewalls:
        raise bad_parameter("group", f"Security group '{call.text('group')}' already exists")
    call.world.firewalls[name] = Firewall()


def _drop_group(call: Call) -> None:
    if _rules(call.world, _of_group(call)):
        raise died(f"Security group '{call.text('group')}' is not empty")
    del call.world.firewalls[_of_group(call)]


def _of_group(call: Call) -> str:
    name = f"group/{call.text('group')}"
    if name not in call.world.firewalls:
        raise died(f"no such security group '{call.text('group')}'")
    return name


def _of_guest(kind: str) -> Scope:
    def scope(call: Call) -> str:
        return f"vm/{call.guest(kind).vmid}"

    return scope


def _in(scope: Scope, work: Callable[[Call, str], Any]) -> Handler:
    return lambda call: work(call, scope(call))


def _rule_routes(base: str, scope: Scope) -> dict[tuple[str, str], Handler]:
    return {
        ("GET", base): _in(scope, _list),
        ("POST", base): _in(scope, _insert),
        ("GET", f"{base}/{{pos}}"): _in(scope, _read),
        ("PUT", f"{base}/{{pos}}"): _in(scope, _change),
        ("DELETE", f"{base}/{{pos}}"): _in(scope, _remove),
    }


def _file_routes(base: str, scope: Scope) -> dict[tuple[str, str], Handler]:
    return {
        **_rule_routes(f"{base}/rules", scope),
        ("GET", f"{base}/options"): _in(scope, _options),
        ("PUT", f"{base}/options"): _in(scope, _set_options),
        ("GET", f"{base}/aliases"): _in(scope, _aliases),
        ("POST", f"{base}/aliases"): _in(scope, _add_alias),
        ("DELETE", f"{base}/aliases/{{name}}"): _in(scope, _drop_alias),
        ("GET", f"{base}/ipset"): _in(scope, _sets),
        ("POST", f"{base}/ipset"): _in(scope, _add_set),
        ("DELETE", f"{base}/ipset/{{name}}"): _in(scope, _drop_set),
        ("GET", f"{base}/ipset/{{name}}"): _in(scope, _members),
        ("POST", f"{base}/ipset/{{name}}"): _in(scope, _add_member),
        ("DELETE", f"{base}/ipset/{{name}}/{{cidr}}"): _in(scope, _drop_member),
    }


ROUTES: Routes = {
    **_file_routes("/cluster/firewall", lambda call: "cluster"),
    **_file_routes("/nodes/{node}/qemu/{vmid}/firewall", _of_guest("qemu")),
    **_file_routes("/nodes/{node}/lxc/{vmid}/firewall", _of_guest("lxc")),
    **_rule_routes("/nodes/{node}/firewall/rules", lambda call: f"node/{call.node}"),
    **_rule_routes("/cluster/firewall/groups/{group}", _of_group),
    ("GET", "/cluster/firewall/groups"): _groups,
    ("POST", "/cluster/firewall/groups"): _add_group,
    ("DELETE", "/cluster/firewall/groups/{group}"): _drop_group,
}
