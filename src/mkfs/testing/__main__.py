"""Serves OCI layout directories as a registry: `python -m mkfs.testing team/model=DIR … [--host 127.0.0.1] [--port 5000]`.

Prints its URL on a line of its own once it listens, and serves until it is interrupted or terminated. For trying things by hand.
"""

import argparse
import signal
import sys
from pathlib import Path

from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve


def main(words: list[str] | None = None) -> None:
    """The program. Exits with 2 and one line where the words or a directory are off."""
    parser = argparse.ArgumentParser(prog="python -m mkfs.testing", description="Serve OCI layout directories as a registry.")
    parser.add_argument(
        "layouts", nargs="+", metavar="REPOSITORY=DIR", help="an OCI layout directory and the repository to serve it as"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on (default: a free one)")
    given = parser.parse_args(words)
    registry = MemoryRegistry()
    for layout in given.layouts:
        repository, _, root = layout.partition("=")
        try:
            registry.add_layout(Path(root), repository)
        except (OSError, ValueError, KeyError) as error:
            parser.error(f"{layout}: not an OCI layout directory ({error})")
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before there are threads, so that only `sigwait` sees them
    with serve(registry, given.host, given.port) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
