"""What a shell offers when somebody presses the tab key: for words that click's own types know nothing of."""

import os
from typing import Any

import click


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
