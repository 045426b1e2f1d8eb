"""`mkfs version`: ours, and those of what we stand on."""

import platform
from importlib import metadata
from typing import Final

import click

from mkfs import __version__

_PARTS: Final = ("pyfuse3", "trio", "httpx2", "cachetools")


def _version_of(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


@click.command("version")
def command() -> None:
    """Print the version, and those of the libraries a bug report needs."""
    click.echo(f"kitfs (mkfs) {__version__}")
    click.echo(f"Python {platform.python_version()} on {platform.system()} {platform.release()}")
    for name in _PARTS:
        click.echo(f"{name} {_version_of(name)}")
