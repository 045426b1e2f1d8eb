"""What a shell offers when somebody presses the tab key: for words that click's own types know nothing of."""

import os
from collections.abc import Callable
from typing import Any

import click

# click's: from a context, a parameter and the beginning of a word to the `CompletionItem`s for it.
Completer = Callable[[click.Context, click.Parameter, str], list[Any]]


def completing(kind: str) -> Completer:
    """The completion of a path that the shell finds itself: "file" or "dir"."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem  # where a shell asks, it is there; a mount does without

        return [CompletionItem(incomplete, type=kind)]

    return complete


def complete_mounts(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """The directories at which we have mounted something, by the mount table: that asks no file system, so no tab key ever hangs.

    A word that is not the beginning of an absolute path is a directory like any other: the shell completes it.
    """
    from click.shell_completion import CompletionItem

    from mkfs.fuse.mountinfo import mounts

    if incomplete and not incomplete.startswith("/"):
        return [CompletionItem(incomplete, type="dir")]
    places = {os.fsdecode(mount.place): mount.source for mount in mounts() if mount.ours}
    return [CompletionItem(place, help=source) for place, source in sorted(places.items()) if place.startswith(incomplete)]
