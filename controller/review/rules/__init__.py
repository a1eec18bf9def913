"""The rules of the audit. A rule is one function in one of these files, listed at its end; `RULES` is all of them."""

from controller.review.rules import (
    changes,
    design,
    docker_limits,
    docker_options,
    images,
    isolation,
    ports,
    proxmox,
    proxmox_data,
    reliability,
    secrets,
    waivers,
)
from controller.review.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    *isolation.RULES,
    *docker_options.RULES,
    *docker_limits.RULES,
    *ports.RULES,
    *secrets.RULES,
    *images.RULES,
    *reliability.RULES,
    *design.RULES,
    *proxmox.RULES,
    *proxmox_data.RULES,
    *changes.RULES,
    *waivers.RULES,
)
