"""`mount.fuse.kitfs`: mount(8)'s helper. `mount -t fuse.kitfs REF DIR`, and lines of fstab, come here.

It ends with mount(8)'s numbers, and leaves a daemon behind like `kitfs mount`. systemd runs it without a HOME and with nobody at a
terminal; by a line with `user`, it runs as that user.
"""

import gc
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from mkfs.cli.mount_words import Option, Words, arguments, environment, parse_words, split_options
from mkfs.errors import BadReference, Busy, FuseUnavailable, MkfsError, UsageError

if TYPE_CHECKING:
    from mkfs.service.process import DaemonProcess

# mount(8), "EXIT STATUS".
MOUNT_USAGE: Final = 1
MOUNT_SYSTEM: Final = 2
MOUNT_INTERNAL: Final = 4
MOUNT_INTERRUPTED: Final = 8
MOUNT_FAILED: Final = 32
_INTERRUPTED: Final = 130  # as `cli.report` has it, which is not imported before the daemon is started
_NUMBERS: Final = {
    0: 0,
    MkfsError.exit_code: MOUNT_INTERNAL,
    UsageError.exit_code: MOUNT_USAGE,
    FuseUnavailable.exit_code: MOUNT_SYSTEM,
    _INTERRUPTED: MOUNT_INTERRUPTED,
}
# What a shell of root has: helpers of credentials, and fusermount3, are looked for there where nobody says a PATH.
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Of `kitfs mount`, but not of a line of fstab.
_NOT_OPTIONS: Final = frozenset(("help", "foreground"))


def main() -> NoReturn:
    """Runs the helper on the words of this process; does not return."""
    run(sys.argv[1:])


def run(words: Sequence[str]) -> NoReturn:
    """Mounts what mount(8) says by `words`, and exits with a number of mount(8)."""
    gc.disable()  # as `cli.main`: imports make no garbage
    try:
        try:
            _run(words)
        except MkfsError as error:
            from mkfs.cli.report import fail

            fail(error.exit_code, error.lines())
    except SystemExit as end:
        sys.exit(number(end.code))
    sys.exit(0)


def number(exit_code: object) -> int:
    """The number of mount(8) for an exit status of `kitfs mount`."""
    code = exit_code if isinstance(exit_code, int) else 0 if exit_code is None else MkfsError.exit_code
    return _NUMBERS.get(code, MOUNT_FAILED)


def is_from_mount_fuse(words: Sequence[str]) -> bool:
    """Whether this is how libfuse's mount.fuse calls `kitfs`, where our helper is not installed: REF, an absolute DIR, and -o."""
    return len(words) == 4 and words[2] == "-o" and words[1].startswith("/") and any(sign in words[0] for sign in "/:.@")


def known_options() -> dict[str, Option]:
    """What `-o` may say: every option of `kitfs mount` by its long name, without the dashes before it."""
    import click

    from mkfs.cli.mount import command

    found = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            for flag in (*parameter.opts, *parameter.secondary_opts):
                if flag.startswith("--") and flag[2:] not in _NOT_OPTIONS:
                    found[flag[2:]] = Option(flag, takes_value=not (parameter.is_flag or parameter.count))
    return found


def _run(said: Sequence[str]) -> None:
    os.environ.pop("NOTIFY_SOCKET", None)  # whoever runs mount(8) does not wait for the daemon's word
    os.environ.setdefault("PATH", _PATH)
    words = parse_words(said)
    options = split_options(words.options)
    os.environ.update(environment(options))  # before the daemon is forked off, which inherits them
    if words.fake:
        _check(_line(words, options))
        _reference(words, options)
        return
    import mkfs.service.launch  # noqa: F401 - before the fork: what both processes need is imported once

    with _daemon() as daemon:
        line = _line(words, options)
        if not _is_mounted_already(words, options):
            from mkfs.cli.app import app

            app.main(args=["mount", *line], prog_name="kitfs", obj=daemon)


def _daemon() -> "DaemonProcess":
    from mkfs.service.process import DaemonProcess

    try:
        return DaemonProcess()
    except OSError as error:
        raise FuseUnavailable(f"cannot start a daemon: {error.strerror}") from error


def _line(words: Words, options: Sequence[str]) -> list[str]:
    """The words of `kitfs mount`, shown where mount(8) is verbose. Raises `UsageError`."""
    line = [*arguments(options, known_options(), sloppy=words.sloppy), "--", words.spec, words.directory]
    if words.verbose:
        _say(shlex.join(["kitfs", "mount", *line]))
    return line


def _check(line: Sequence[str]) -> None:
    """Returns if `kitfs mount` would take these words. Raises `UsageError`."""
    import click

    from mkfs.cli.mount import command

    try:
        command.make_context("mount", list(line))
    except click.UsageError as error:
        raise UsageError(error.format_message(), hint="see: kitfs mount --help") from error


def _reference(words: Words, options: Sequence[str]) -> str:
    """What is to be mounted, in full. Raises `UsageError`."""
    from mkfs.cli import places
    from mkfs.cli.config import load_config
    from mkfs.oci.reference import Reference

    named = [value for name, _, value in (option.partition("=") for option in options) if name == "config"]
    config = load_config(Path(named[-1]) if named else None, places.config_files(os.environ))
    return str(Reference.parse_source(words.spec, config.alias, or_repository=True))


def _is_mounted_already(words: Words, options: Sequence[str]) -> bool:
    """Whether what this line mounts is there, and alive. Then `mount -a` has nothing to do; mount(8) can't see that by itself, as
    what we mount is named with its digest.
    """
    from mkfs.fuse import kernel
    from mkfs.fuse.mountinfo import mount_at, unspelled

    place = Path(words.directory)
    mount = mount_at(kernel.resolve(place))
    if mount is None or not mount.ours:
        return False
    try:
        kernel.check_mountpoint(place)
    except Busy:
        shown, wanted = unspelled(mount.source), _reference(words, options)
        if wanted not in {shown, _without_digest(shown)}:
            return False
        _say(f"{shown} is mounted at {words.directory} already")
        return True
    return False  # a dead one, which the command clears


def _without_digest(shown: str) -> str:
    from mkfs.oci.reference import Reference

    try:
        whole = Reference.parse_source(shown)
        return str(Reference(whole.registry, whole.repository, whole.tag))
    except (BadReference, ValueError):  # not by a tag
        return shown


def _say(line: str) -> None:
    import click

    from mkfs.errors import printable

    click.echo(printable(line), err=True)


if __name__ == "__main__":
    main()
