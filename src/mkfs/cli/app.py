"""The command group: verbs are imported when they are called, so that `--help` and each verb cost only what they use."""

import importlib
import sys
from typing import Any, Final, NoReturn, final

import click

from mkfs import __version__
from mkfs.cli.report import INTERRUPTED, fail, reported
from mkfs.errors import MkfsError, UsageError

# Each verb's module, and its line in the list of all: that list imports none of them.
_VERBS: Final = {
    "mount": ("mkfs.cli.mount", "Mount an artifact at a directory, read-only."),
    "umount": ("mkfs.cli.umount", "Unmount a directory, and end its daemon."),
    "status": ("mkfs.cli.status", "Show what is mounted, who waits for what, and what it cost."),
    "wait": ("mkfs.cli.wait", "Wait until a directory is mounted, warm, or proven."),
    "handover": ("mkfs.cli.handover", "Mount for a process that may not, and hand it the descriptor."),
    "ls": ("mkfs.cli.ls", "List the files of an artifact."),
    "inspect": ("mkfs.cli.inspect", "Show an artifact's digest, format, properties and layers."),
    "resolve": ("mkfs.cli.resolve", "Print the digest of an artifact."),
    "tags": ("mkfs.cli.tags", "List a repository's tags, those of one artifact together."),
    "warmup": ("mkfs.cli.warmup", "Fetch an artifact into the cache, every byte proven."),
    "verify": ("mkfs.cli.verify", "Hash every byte of an artifact."),
    "index": ("mkfs.cli.index", "Make and push chunk indexes, so that first reads need not wait."),
    "cache": ("mkfs.cli.cache", "Look after the cache that all mounts of a user share."),
    "install-helper": ("mkfs.cli.install_helper", "Let mount(8) and fstab mount artifacts, or no longer."),
    "doctor": ("mkfs.cli.doctor", "Look for what stands in the way of a mount, and say what to do about it."),
    "config": ("mkfs.cli.config_command", "Show which settings hold, and who said so."),
    "completion": ("mkfs.cli.completion", "Print what lets bash, zsh or fish complete our command lines."),
    "version": ("mkfs.cli.version", "Print the version, and those of the libraries."),
}
EXIT_STATUS: Final = """\b
EXIT STATUS
  0 ok · 1 unexpected · 2 usage · 10 not found · 11 not authorised
  12 registry unreachable · 13 integrity · 14 unsupported artifact
  20 mountpoint unusable · 21 FUSE unavailable · 22 busy
  23 cache unusable · 24 mount dead or not answering
"""


@final
class Verbs(click.Group):
    """Finds the command of a verb in the module of its name."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:  # noqa: ANN401 - click's own signature
        """Runs the command line and exits. What click has to say comes in our form: three lines at most."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "kitfs"
            fail(UsageError.exit_code, [error.format_message(), f"see: {path} --help"])
        except click.ClickException as error:
            fail(error.exit_code, [error.format_message()])
        except click.Abort:
            sys.exit(INTERRUPTED)
        except MkfsError as error:  # the config file, which is read while the words are
            fail(error.exit_code, error.lines())
        sys.exit(code if isinstance(code, int) else 0)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs, in the order a person meets them."""
        return list(_VERBS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of verbs, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, _VERBS[verb][1]) for verb in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """The verbs and options that begin so. click's own would import every verb to see whether it is hidden."""
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(verb, help=line) for verb, (_, line) in _VERBS.items() if verb.startswith(incomplete)]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command, imported now."""
        if cmd_name not in _VERBS:
            return None
        command: click.Command = importlib.import_module(_VERBS[cmd_name][0]).command
        return reported(command)


@click.command(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_STATUS,
    invoke_without_command=False,
)
@click.version_option(__version__, "--version", message="kitfs (mkfs) %(version)s")
def app() -> None:
    """Mount remote model artifacts: read-only, lazily, with every byte proven before it is served.

    `kitfs` and `mkfs` are the same command.
    """
