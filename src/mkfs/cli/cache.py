"""`mkfs cache info|verify|prune|clear`: what is kept on this node, and taking care of it. Needs no registry and no reference."""

import json
import os
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from mkfs.cache.eviction import Item, Kind
from mkfs.cache.layout import refuse_our_mounts
from mkfs.cache.maintenance import CacheUsage, LayerUsage
from mkfs.cache.scrub import Damage
from mkfs.cache.store import Cache
from mkfs.cli.settings.kinds import MinFree
from mkfs.cli.settings.options import SettingCommand, setting_options
from mkfs.errors import CacheUnusable, IntegrityError, printable
from mkfs.units import format_duration, format_size

SCHEMA_VERSION: Final = 1
_NS: Final = 10**9
_SHOWN_DAMAGE: Final = 20  # lines; JSON has all


@click.group("cache")
def command() -> None:
    """Look after the cache of proven bytes that all mounts of a user share."""


@command.command("info", cls=SettingCommand)
@setting_options("cache info")
def info(*, form: str, cache_dir: Path, cache_size: int | None, min_free: MinFree) -> None:
    """Show what is in the cache, what it occupies, and what is in use."""
    path = _existing(cache_dir)
    cache = _open(path, cache_size, min_free)
    try:
        usage = cache.usage()
    finally:
        cache.close()
    if form == "json":
        _print_json(_usage_document(path, usage))
    else:
        _print_usage(path, usage)


@command.command("verify", cls=SettingCommand)
@setting_options("cache verify")
def verify(*, form: str, cache_dir: Path) -> None:
    """Hash everything in the cache. What is damaged is taken out, and fetched again by whoever needs it.

    Exits with 13 if there was damage. May run while the cache is in use.
    """
    cache = _open(_existing(cache_dir))
    try:
        report = cache.verify(lambda _size_bytes: None)
    finally:
        cache.close()
    if form == "json":
        document = {
            "checked": report.checked,
            "checked_bytes": report.checked_bytes,
            "damage": [asdict(each) for each in report.damage],
        }
        _print_json(document)
    else:
        things = ", ".join(f"{count} {kind}" for kind, count in sorted(report.checked.items())) or "nothing"
        click.echo(f"hashed {format_size(report.checked_bytes)}: {things}")
        for damage in report.damage[:_SHOWN_DAMAGE]:
            click.echo(f"damaged, taken out: {_named(damage)}")
    if report.damage:
        raise IntegrityError(
            f"{len(report.damage)} things in the cache were damaged and are taken out",
            str(_existing(cache_dir)),
            "none was served; they are fetched again when they are needed. If this happens again, look at the disk",
        )


@command.command("prune", cls=SettingCommand)
@setting_options("cache prune")
def prune(*, form: str, cache_dir: Path, cache_size: int | None, min_free: MinFree, older_than: int | None) -> None:
    """Remove leftovers, and what was used longest ago until the limits are kept. What is in use stays."""
    cache = _open(_existing(cache_dir), cache_size, min_free)
    try:
        report = cache.prune(None if older_than is None else time.time_ns() - older_than * _NS)
    finally:
        cache.close()
    if form == "json":
        evicted = [_item_document(item) for item in report.evicted]
        _print_json({"leftovers": report.leftovers, "evicted": evicted, "freed_bytes": report.freed.size_bytes})
        return
    for item in report.evicted:
        click.echo(f"evicted {format_size(item.size_bytes):>10}  {item.kind.value}/{item.digest}")
    click.echo(f"removed {report.leftovers} leftovers, evicted {len(report.evicted)}, freed {format_size(report.freed.size_bytes)}")


@command.command("clear", cls=SettingCommand)
@setting_options("cache clear")
def clear(*, form: str, cache_dir: Path) -> None:
    """Remove everything that is not in use now: layers, documents, chunk indexes, grants."""
    cache = _open(_existing(cache_dir))
    try:
        report = cache.clear()
    finally:
        cache.close()
    if form == "json":
        removed, kept = ([_item_document(item) for item in items] for items in (report.removed, report.kept))
        _print_json({"removed": removed, "kept": kept, "freed_bytes": report.freed.size_bytes})
        return
    click.echo(f"removed {len(report.removed)}, freed {format_size(report.freed.size_bytes)}")
    for item in report.kept:
        click.echo(f"in use, kept: {format_size(item.size_bytes):>10}  {item.kind.value}/{item.digest}")


def _existing(cache_dir: Path) -> Path:
    """Where the cache is. Raises `CacheUnusable` if there is none: looking at one must not make one."""
    path = cache_dir.absolute()
    refuse_our_mounts(path)
    if not os.path.lexists(path):
        raise CacheUnusable(
            "there is no cache", str(path), "the first mount makes it; --cache-dir or MKFS_CACHE_DIR name another one"
        )
    return path


def _open(path: Path, cache_size: int | None = None, min_free: MinFree | None = None) -> Cache:
    if min_free is None:
        return Cache.open(path)
    return Cache.open(path, min_free_ratio=min_free.ratio, min_free_bytes=min_free.size_bytes, size_limit_bytes=cache_size)


def _print_json(document: dict[str, object]) -> None:
    click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=2))


def _named(damage: Damage) -> str:
    return f"{damage.kind}/{printable(damage.name)}: {printable(damage.what)}"


def _item_document(item: Item) -> dict[str, object]:
    used = datetime.fromtimestamp(item.used_ns // _NS, UTC).isoformat()
    return {"kind": item.kind.value, "digest": str(item.digest), "size_bytes": item.size_bytes, "used_at": used}


def _usage_document(path: Path, usage: CacheUsage) -> dict[str, object]:
    disk, limits = usage.disk, usage.limits
    return {
        "path": str(path),
        "total": asdict(usage.total),
        "layers": [_item_document(row.item) | {"inodes": row.item.inodes, "in_use": row.pinned} for row in usage.layers],
        "documents": asdict(usage.documents),
        "indexes": asdict(usage.indexes),
        "staging": asdict(usage.staging),
        "other": asdict(usage.other),
        "disk": asdict(disk),
        "limits": {
            "cache_size_bytes": limits.size_limit_bytes,
            "min_free_bytes": limits.kept_bytes(disk),
            "min_free_inodes": limits.kept_inodes(disk),
        },
    }


def _print_usage(path: Path, usage: CacheUsage) -> None:
    disk, limits = usage.disk, usage.limits
    bound = "" if limits.size_limit_bytes is None else f" of {format_size(limits.size_limit_bytes)}"
    kept = f"{format_size(limits.kept_bytes(disk))} stay free"
    pairs = (
        ("cache", printable(str(path))),
        ("total", f"{format_size(usage.total.size_bytes)}{bound}, {usage.total.inodes} inodes"),
        ("disk", f"{format_size(disk.free_bytes)} free of {format_size(disk.total_bytes)}, of which {kept}"),
        ("layers", f"{len(usage.layers)}, {format_size(sum(row.item.size_bytes for row in usage.layers))}"),
        ("documents", f"{usage.documents.inodes}, {format_size(usage.documents.size_bytes)}"),
        ("indexes", f"{usage.indexes.inodes}, {format_size(usage.indexes.size_bytes)}"),
        ("staging", format_size(usage.staging.size_bytes)),
        ("other", format_size(usage.other.size_bytes)),
    )
    for name, value in pairs:
        click.echo(f"{name:<9}  {value}")
    now = time.time()
    for row in usage.layers:
        click.echo(_row(row, now))


def _row(row: LayerUsage, now: float) -> str:
    item = row.item
    age = format_duration(max(0.0, now - item.used_ns / _NS))
    state = "in use" if row.pinned else ""
    part = "whole" if item.kind is Kind.LAYER else "partial"
    return f"  {format_size(item.size_bytes):>10}  {part:<7}  {age + ' ago':>16}  {state:<6}  {item.digest}"
