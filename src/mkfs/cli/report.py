"""An error becomes words and an exit code: here, and nowhere else in the commands."""

import os
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click

from mkfs.errors import MkfsError, NotAuthorised
from mkfs.service.failures import is_interrupt, sole

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE
_TRACEBACK: Final = 2  # -vv


def fail(exit_code: int, lines: Sequence[str]) -> NoReturn:
    """Prints an error of at most three lines to stderr and exits."""
    if exit_code == NotAuthorised.exit_code and os.environ.get("SUDO_USER"):
        lines = [*lines[:-1], f"{lines[-1]} (under sudo these are root's credentials, not {os.environ['SUDO_USER']}'s)"]
    say_error(lines)
    sys.exit(exit_code)


def say_error(lines: Sequence[str]) -> None:
    """Prints an error of at most three lines to stderr."""
    for number, line in enumerate(lines):
        click.echo(f"Error: {line}" if number == 0 else f"  {line}", err=True)


def reported(command: click.Command) -> click.Command:
    """`command`, with whatever it raises reported. A traceback is shown only with `-vv`, before the lines that are always there."""
    inner = command.invoke

    def invoke(context: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return inner(context)
        except click.exceptions.Exit:
            raise
        except (click.ClickException, click.Abort):
            raise
        except BrokenPipeError:  # `kitfs ls … | head`: whoever read has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(PIPE_CLOSED)
        except BaseException as error:
            if is_interrupt(error):
                sys.exit(INTERRUPTED)
            from mkfs.cli.settings.options import verbosity

            if isinstance(error, SystemExit):
                raise
            if verbosity(context) >= _TRACEBACK:
                sys.excepthook(type(error), error, error.__traceback__)
            known = sole(error)
            if known is None:
                known = MkfsError(
                    f"unexpected: {type(error).__name__}: {error}",
                    hint="this is a defect: run again with -vv and report what it says"
                    if verbosity(context) < _TRACEBACK
                    else "this is a defect: report it with the traceback",
                )
            fail(known.exit_code, known.lines())

    command.invoke = invoke  # type: ignore[method-assign,assignment] # click has no hook around a command but this one
    return command
