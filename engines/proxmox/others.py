"""Pools, backup jobs and images of storages: specs, fields ⇄ what the API takes and tells. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from controller.blueprint.value import Value
from controller.plan.resource import Fields
from engines.proxmox import marks
from engines.proxmox.guest_specs import Strict
from engines.proxmox.words import StorageName, notes

POOL, BACKUP, IMAGE = "proxmox/pool", "proxmox/backup-job", "proxmox/image"
COMMENT_MAX = 512  # of a backup job, marker included
_ENDINGS = {
    "iso": re.compile(r".+\.(iso|img)", re.IGNORECASE),
    "vztmpl": re.compile(r".+\.tar(\.(gz|xz|zst|bz2))?"),
    "import": re.compile(r".+\.(qcow2|raw|vmdk|ova)"),
}
_FILE = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,200}$"
_KEEP = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
_CHECKSUM = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}


def comment(value: object) -> object:
    """One line of people."""
    told = notes(value)
    if isinstance(told, str) and ("\n" in told or len(told) > 120):
        raise ValueError("a comment is one line of at most 120 characters")
    return told


Comment = Annotated[Any, BeforeValidator(comment)]


class PoolSpecs(Strict):
    """`specs` of a pool. Members are said by the guests: one owner for one fact."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,63}$")
    comment: Comment | None = None


class BackupSpecs(Strict):
    """`specs` of a backup job."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9_-]{1,39}$")
    schedule: str = Field(pattern=r"^[A-Za-z0-9*/:., -]{1,128}$")
    storage: StorageName
    pool: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,63}$")
    guests: tuple[str, ...] = ()
    mode: Literal["snapshot", "suspend", "stop"] | None = None
    compress: Literal["0", "gzip", "lzo", "zstd"] | None = None
    enabled: bool | None = None
    keep: dict[Literal["last", "hourly", "daily", "weekly", "monthly", "yearly"], Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict
    )
    comment: Comment | None = None

    @model_validator(mode="after")
    def _something(self) -> BackupSpecs:
        if bool(self.pool) == bool(self.guests):
            raise ValueError("say what is backed up: either `pool`, or `guests` with names of this blueprint")
        return self


class ImageSpecs(Strict):
    """`specs` of an image: a file of a storage, fetched from an address, never replaced and never removed."""

    url: str = Field(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9._~%/+-]{0,500}$")
    storage: StorageName
    node: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$")
    content: Literal["iso", "vztmpl", "import"]
    filename: str | None = Field(default=None, pattern=_FILE)
    checksum: str | None = Field(default=None, pattern=r"^(md5|sha1|sha224|sha256|sha384|sha512):[0-9a-fA-F]{32,128}$")

    @property
    def file(self) -> str:
        """Its name on the storage."""
        return self.filename or self.url.rpartition("/")[2]

    @model_validator(mode="after")
    def _file_fits(self) -> ImageSpecs:
        if not re.fullmatch(_FILE, self.file):
            raise ValueError("say its `filename`: the address does not end in one")
        if not _ENDINGS[self.content].fullmatch(self.file):
            raise ValueError(f"{self.file} has no ending that {self.content} content has")
        if self.checksum:
            algorithm, _, digits = self.checksum.partition(":")
            if len(digits) != _CHECKSUM[algorithm]:
                raise ValueError(f"a {algorithm} checksum has {_CHECKSUM[algorithm]} digits")
        return self


@dataclass(frozen=True, slots=True)
class Job:
    """One backup job's fields ⇄ parameters."""

    fields: Fields

    def parameters(self, vmids: Mapping[str, int]) -> dict[str, str]:
        """What the call takes; `vmids`: guest names → ids."""
        found = {
            n: str(self.fields[n]) for n in ("schedule", "storage", "pool", "mode", "compress") if n in self.fields
        }
        if "enabled" in self.fields:
            found["enabled"] = "1" if self.fields["enabled"] else "0"
        if keep := {n: self.fields[f"keep.{n}"] for n in _KEEP if f"keep.{n}" in self.fields}:
            found["prune-backups"] = ",".join(f"keep-{n}={int(str(v))}" for n, v in keep.items())
        guests = self.fields.get("guests")
        if isinstance(guests, tuple):
            found["vmid"] = ",".join(str(vmids[str(name)]) for name in sorted(guests))
        return found


def wanted_job(specs: BackupSpecs) -> dict[str, Value]:
    """Fields of a backup job; `guests` still as names."""
    found: dict[str, Value] = {"schedule": specs.schedule, "storage": specs.storage}
    found |= {n: v for n in ("pool", "mode", "compress", "enabled", "comment") if (v := getattr(specs, n)) is not None}
    found |= {f"keep.{n}": v for n, v in specs.keep.items()}
    return found


def live_job(row: Mapping[str, Any], names: Mapping[int, str]) -> dict[str, Value]:
    """Fields of a job as listed; `names`: vmid → guest name, for those we know."""
    found: dict[str, Value] = {n: str(row[n]) for n in ("schedule", "storage", "pool", "mode", "compress") if n in row}
    if "enabled" in row:
        found["enabled"] = str(row["enabled"]) == "1"
    for part in _prune(row.get("prune-backups")):
        name, _, count = part.partition("=")
        if name.startswith("keep-") and count.isdigit():
            found[f"keep.{name.removeprefix('keep-')}"] = int(count)
    if row.get("vmid"):
        ids = [int(v) for v in re.split(r"[\s,;]+", str(row["vmid"])) if v.isdigit()]
        found["guests"] = tuple(sorted(names.get(i, str(i)) for i in ids))
    if own := marks.notes_of(str(row.get("comment") or "")):
        found["comment"] = own
    return found


def _prune(value: object) -> list[str]:
    """PVE 8 and 9 tell it as text or as an object."""
    if isinstance(value, Mapping):
        return [f"{k}={v}" for k, v in value.items()]
    return str(value or "").split(",")


DEFAULTS: Mapping[str, Value] = {"comment": "", "enabled": True, "mode": "snapshot", "compress": "0"}
