"""`mkfs completion bash|zsh|fish`: what a shell reads to complete our command lines."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from mkfs.cli.settings.options import SettingCommand

NAMES: Final = ("kitfs", "mkfs")


@click.command("completion", cls=SettingCommand)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(*, shell: str) -> None:
    """Print a script with which SHELL completes verbs, flags, choices, and the directories that we have mounted.

    It completes the name by which it was asked for: kitfs, or mkfs, which is the formatter's name too.

    \b
    EXAMPLES
      kitfs completion bash > /etc/bash_completion.d/kitfs
      kitfs completion zsh > "${fpath[1]}/_kitfs"
      kitfs completion fish > ~/.config/fish/completions/kitfs.fish
    """  # noqa: D301 - click's mark for lines that stay lines
    root = click.get_current_context().find_root()
    name = root.info_name if root.info_name in NAMES else NAMES[0]
    found = get_completion_class(shell)
    if found is None:  # click has all three; a version that drops one is a defect here
        raise NotImplementedError(shell)
    click.echo(found(root.command, {}, name, f"_{name}_COMPLETE".upper()).source())
