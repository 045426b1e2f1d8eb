"""The options that several verbs share, taken together: where an artifact comes from, and which registry is asked."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from mkfs.cli.registry_options import client_settings
from mkfs.cli.settings.kinds import MinFree
from mkfs.cli.settings.options import config_of, setting_options
from mkfs.cli.trust import read_key_file
from mkfs.oci.reference import Reference
from mkfs.proof.trust_settings import REGISTRY, KeyFile
from mkfs.service.settings import SourceSettings

F = TypeVar("F", bound=Callable[..., Any])

_CLIENT: Final = ("plain_http", "authfile", "ca_file", "tls_verify", "mirrors", "hosts_dirs")
_SOURCE: Final = ("cache_dir", "cache_size", "min_free", "trust_key", "trust_index", "verify_signature")
# Of the settings by the same names; not every verb has them all.
_PARTS: Final = ("offline", "filters", "labels", "reference_hosts")


def client_options(verb: str) -> Callable[[F], F]:
    """All options of a verb that asks a registry and keeps nothing: its function gets what they come to as `client`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def with_client(**words: Any) -> object:  # noqa: ANN401 - what click read
            client = {name: words.pop(name) for name in _CLIENT}
            return function(client=client_settings(client), **words)

        return cast(F, setting_options(verb)(with_client))

    return decorate


def source_options(
    verb: str, *, reference: Callable[[str], str] = str, or_repository: bool = False, required: bool = True
) -> Callable[[F], F]:
    """REF and all options of a verb. What they say of where it comes from and what is kept of it, its function gets as `source`,
    the others by their names.

    `reference` makes a reference of what the user gave for REF ("" where that is not `required`); with `or_repository` REF may be a
    repository as well. Calling the command raises `BadReference`, and `UsageError` for what click cannot judge.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def with_source(*, ref: str | None, **words: Any) -> object:  # noqa: ANN401 - what click read
            config = config_of(click.get_current_context())
            client, kept = ({name: words.pop(name) for name in names} for names in (_CLIENT, _SOURCE))
            parts: dict[str, Any] = {name: words.pop(name) for name in _PARTS if name in words}
            _check(parts)
            named = None if ref is None else Reference.parse_source(reference(ref), config.alias, or_repository=or_repository)
            min_free: MinFree = kept["min_free"]
            source = SourceSettings(
                reference="" if named is None else str(_absolute(named)),
                cache_dir=str(kept["cache_dir"].absolute()),
                client=client_settings(client),
                cache_size_bytes=kept["cache_size"],
                min_free_ratio=min_free.ratio,
                min_free_bytes=min_free.size_bytes,
                trust=config.trust.with_options(
                    tuple(KeyFile(str(path), read_key_file(path)) for path in kept["trust_key"]),
                    verify_signature=kept["verify_signature"],
                    trust_registry=kept["trust_index"] == REGISTRY,
                ),
                **parts,
            )
            return function(source=source, **words)

        return cast(F, click.argument("ref", required=required)(setting_options(verb)(with_source)))

    return decorate


def _check(parts: Mapping[str, Any]) -> None:
    """Raises `UsageError` for what `--filter` and `--select` could not mean; the words themselves travel on."""
    if parts.get("filters"):
        from mkfs.formats.filters import parse_filter

        for text in parts["filters"]:
            parse_filter(text)
    if parts.get("labels"):
        from mkfs.formats.selection import parse_labels

        parse_labels(parts["labels"])


def _absolute(reference: Reference) -> Reference:
    """A layout's directory as the daemon finds it, wherever it works. A slash at the end keeps a colon in it from being a tag's.

    Raises `BadReference` where we stand in a directory that cannot be named.
    """
    if not reference.is_layout:
        return reference
    path = str(Path(reference.repository).absolute())
    full = replace(reference, repository=f"{path}/" if ":" in path.rpartition("/")[2] else path)
    return Reference.parse_source(str(full))
