"""Rules about the image a workload runs from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.review.finding import Severity
from controller.review.rules.controls import PATCHES, SUPPLY
from controller.review.rules.coverage import CONTAINER, CONTAINERS
from controller.review.rules.rule import Hit, Reason, Rule, Sample, hit, rule
from controller.review.rules.specs import image_name, text

# The first release that still gets fixes, of images that many run. A release line counts as its first number, or two.
_SUPPORTED_FROM: Mapping[str, tuple[int, int]] = {
    "postgres": (14, 0),
    "postgresql": (14, 0),
    "mysql": (8, 0),
    "mariadb": (10, 6),
    "mongo": (7, 0),
    "mongodb": (7, 0),
    "redis": (6, 2),
    "elasticsearch": (8, 0),
    "node": (20, 0),
    "python": (3, 10),
    "php": (8, 2),
    "ruby": (3, 2),
    "golang": (1, 24),
    "openjdk": (17, 0),
    "nginx": (1, 26),
    "httpd": (2, 4),
    "tomcat": (9, 0),
    "traefik": (2, 11),
    "ubuntu": (22, 4),
    "debian": (11, 0),
    "alpine": (3, 20),
    "centos": (9, 0),
    "rabbitmq": (4, 0),
    "grafana": (11, 0),
}
_VERSION = re.compile(r"v?(\d{1,4})(?:\.(\d{1,4}))?")
_LAST = 9999  # a tag that names no second number moves with the newest one
_BY_ADDRESS = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]+\])(?::\d{1,5})?/")


@rule(
    "image-unpinned",
    Severity.MEDIUM,
    Reason.SUPPLY,
    "Image without version",
    why="What runs tomorrow is not what was reviewed today, and there is nothing to go back to.",
    source="CIS Docker 1.6.0, 5.28; design.md 7",
    kinds=CONTAINERS,
    controls=SUPPLY,
    bad=Sample({"image": "nginx:latest"}),
    good=Sample({"image": "nginx:1.27"}),
)
def image_unpinned(entry: Entry) -> Iterator[Hit]:
    image = text(entry, "image")
    if image and not _tagged(image):
        yield hit(entry, "specs.image", f"image {image} is not pinned to a version", "name a version, as in nginx:1.27")
    if not image and entry.product and not entry.version:
        yield hit(entry, "engine", f"{entry.product} has no version", 'add version: "16" or what you run')


def _tagged(image: str) -> bool:
    """True if the image names a version, by tag or digest; a value that is filled in later counts as one."""
    tag = image.rpartition("/")[2].partition(":")[2]
    return "@" in image or "${" in image or tag not in ("", "latest", "stable", "main", "master", "edge")


@rule(
    "image-without-digest",
    Severity.INFO,
    Reason.SUPPLY,
    "Image without digest",
    why="A tag can be moved. ALMA runs the digest it saw at review; a digest in Git also holds for everyone else.",
    source="CIS Docker 1.6.0, 4.5; design.md 7",
    kinds=CONTAINERS,
    controls=SUPPLY,
    bad=Sample({"image": "nginx:1.27"}),
    good=Sample({"image": "nginx:1.27@sha256:" + "0" * 64}),
)
def image_without_digest(entry: Entry) -> Iterator[Hit]:
    image = text(entry, "image")
    if image and "@sha256:" not in image and _tagged(image):
        yield hit(entry, "specs.image", f"image {image} has no digest", "append @sha256:… of the version you tested")


@rule(
    "built-on-host",
    Severity.MEDIUM,
    Reason.SUPPLY,
    "Image built on the host",
    why="What runs is not what anyone tested, and no digest says what it was.",
    source="CIS Docker 1.6.0, 4.2; design.md 7",
    kinds=CONTAINER,
    controls=SUPPLY,
    bad=Sample({"build": "."}),
    good=Sample({"image": "registry.example/web:1.4"}),
)
def built_on_host(entry: Entry) -> Iterator[Hit]:
    if entry.specs.get("build") is not None:
        yield hit(entry, "specs.build", "is built where it runs", "build and push it elsewhere, then name the image")


@rule(
    "image-end-of-life",
    Severity.MEDIUM,
    Reason.SUPPORT,
    "Release without fixes",
    why="Nobody mends what is found in it any more.",
    source="PCI DSS 4.0, 6.3.3; CIS Docker 1.6.0, 4.4; end dates told by each project, as of 2026-11",
    kinds=CONTAINERS,
    controls=PATCHES,
    bad=Sample({"image": "postgres:11.4"}),
    good=Sample({"image": "postgres:17"}),
)
def image_end_of_life(entry: Entry) -> Iterator[Hit]:
    name = image_name(entry)
    written = text(entry, "image").partition("@")[0].rpartition("/")[2].partition(":")[2] or str(entry.version or "")
    version = _VERSION.match(written)
    first = _SUPPORTED_FROM.get(name)
    if version and first and (int(version[1]), int(version[2] or _LAST)) < first:
        path = "specs.image" if text(entry, "image") else "version"
        yield hit(entry, path, f"{name} {version[0]} gets no fixes any more", f"{name} from {_dotted(first)} on")


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}" if version[1] else str(version[0])


@rule(
    "image-from-anyone",
    Severity.LOW,
    Reason.IDENTITY,
    "Image by an unnamed registry address",
    why="An address says nothing of who answers there, and plain HTTP is what Docker falls back to for it.",
    source="CIS Docker 1.6.0, 2.5 and 4.2",
    kinds=CONTAINERS,
    controls=SUPPLY,
    bad=Sample({"image": "192.168.1.20:5000/web:1.4"}),
    good=Sample({"image": "registry.example/web:1.4"}),
)
def image_from_anyone(entry: Entry) -> Iterator[Hit]:
    image = text(entry, "image")
    if _BY_ADDRESS.match(image):
        fix = "give the registry a name and a certificate"
        yield hit(entry, "specs.image", f"image {image} comes from an address without a name", fix)


RULES: tuple[Rule, ...] = (
    image_unpinned,
    image_without_digest,
    built_on_host,
    image_end_of_life,
    image_from_anyone,
)
