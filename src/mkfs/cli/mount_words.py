"""What mount(8) says to its helper, read. Pure: words in, the words of `kitfs mount` out.

    mount.fuse.kitfs SPEC DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]

An option of `-o` is an option of `kitfs mount` by its long name, `_` and `-` being the same: there is no second table to keep.
Beside them stand those that any line of fstab may have (mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS"; systemd.mount(5)): what
is mounted is read-only and has no devices and no set-user-id, so most of them ask for what is so anyway, or are somebody else's
business.

`rw` can't be refused: mount(8) says it whenever a line does not say `ro`.

Sources: mount(8), "EXTERNAL HELPERS"; util-linux libmount/src/context_mount.c (the words and their order) and lib/strutils.c
(double quotes keep commas in a value; so does a backslash since 2.40, and before that libmount cuts there and puts the parts
together again for us, unless one of them is an option of its own); libfuse util/mount.fuse.c, which says `dev` and `suid`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, final

from msgspec import Struct

from mkfs.errors import UsageError

USAGE: Final = "mount -t fuse.kitfs REF DIR [-o OPTIONS]"
_SEE: Final = "options are those of: kitfs mount --help"

# The business of mount(8), fstab's other readers, or true of every mount of ours.
_IGNORED: Final = frozenset(
    (
        *("auto", "noauto", "user", "nouser", "users", "group", "owner", "_netdev", "_rnetdev", "nofail", "defaults", "comment"),
        *("ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "default_permissions"),
        *("atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime"),
        *("lazytime", "nolazytime", "async", "sync", "dirsync", "mand", "nomand", "iversion", "noiversion", "silent", "loud"),
    )
)
_IGNORED_PREFIXES: Final = ("x-", "X-")  # systemd's, udisks', mount(8)'s own
_REFUSED: Final = {
    "remount": "what is mounted cannot be changed: unmount it and mount it again",
    "foreground": "mount(8) waits for its helper to end: run kitfs mount --foreground, or the unit kitfs@.service",
    "bind": "bind a mounted directory with: mount --bind FROM TO",
    "nosymfollow": "FUSE mounts cannot have it",
}
_ENVIRONMENT: Final = "env."
# Settings that have no option, and where logins and proxies are looked for. Anything else might change what program runs.
_SETTABLE: Final = re.compile(
    r"MKFS_[A-Z0-9_]+|(?:HTTPS?|NO|ALL)_PROXY|(?:https?|no|all)_proxy|DOCKER_CONFIG|REGISTRY_AUTH_FILE|KITOPS_HOME", re.ASCII
)
_NAMES: Final = "names: MKFS_*, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, DOCKER_CONFIG, REGISTRY_AUTH_FILE, KITOPS_HOME"


@final
class Words(Struct, frozen=True):
    """The helper's command line: what to mount where, and how. `fake`: check only."""

    spec: str
    directory: str
    options: str = ""  # of all -o, joined; still escaped
    sloppy: bool = False  # options that nobody knows are passed over
    fake: bool = False
    verbose: bool = False


@final
class Option(Struct, frozen=True):
    """An option of `kitfs mount`: how it is written there, and whether a value belongs to it."""

    flag: str  # with its dashes
    takes_value: bool


def parse_words(arguments: Sequence[str]) -> Words:
    """Reads what mount(8) calls its helper with, without the name of the helper. Raises `UsageError`."""
    positional: list[str] = []
    options: list[str] = []
    letters: set[str] = set()
    rest = iter(arguments)
    for word in rest:
        if not word.startswith("-") or word == "-":
            positional.append(word)
            continue
        flags = word[1:]
        while flags:
            letter, flags = flags[0], flags[1:]
            if letter in "sfnv":
                letters.add(letter)
            elif letter in "otN":
                value = flags or next(rest, None)
                if value is None:
                    raise UsageError(f"-{letter} needs a value", hint=f"usage: {USAGE}")
                if letter == "N":
                    raise UsageError("mount -N is not supported", hint="enter the namespace first: nsenter --mount=FILE mount …")
                if letter == "o":
                    options.append(value)
                flags = ""
            else:
                raise UsageError(
                    f"unknown option {word!r} (expected -s, -f, -n, -v, -t TYPE or -o OPTIONS)", hint=f"usage: {USAGE}"
                )
    if len(positional) != 2 or not all(positional):
        raise UsageError(f"expected REF and DIR, got {len(positional)} words", hint=f"usage: {USAGE}")
    spec, directory = positional
    return Words(spec, directory, ",".join(options), "s" in letters, "f" in letters, "v" in letters)


def split_options(text: str) -> list[str]:
    """The options of a comma-separated list, unescaped: a backslash takes the next character as it is, double quotes keep commas in
    a value. Empty ones are left out.

    Raises `UsageError` where a quote or an escape does not end.
    """
    found: list[str] = []
    current: list[str] = []
    quoted = False
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                raise UsageError("the options end with a backslash", hint=r"write \\ for a backslash and \, for a comma")
            current.append(escaped)
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            found.append("".join(current))
            current.clear()
        else:
            current.append(character)
    if quoted:
        raise UsageError("a double quote in the options does not end", hint=r"write \, for a comma within a value")
    found.append("".join(current))
    return [option for option in found if option]


def environment(options: Iterable[str]) -> dict[str, str]:
    """What `env.NAME=VALUE` among `options` sets. Raises `UsageError` for names that are none of a mount's; no value is shown."""
    found = {}
    for option in options:
        if option.startswith(_ENVIRONMENT):
            name, equals, value = option.removeprefix(_ENVIRONMENT).partition("=")
            if not equals or not _SETTABLE.fullmatch(name):
                raise UsageError(f"env.{name} cannot be set (expected env.NAME=VALUE)", hint=_NAMES)
            found[name] = value
    return found


def arguments(options: Iterable[str], known: Mapping[str, Option], *, sloppy: bool = False) -> list[str]:
    """The words of `kitfs mount` that `options` come to, without REF and DIR; `known` has the names with dashes.

    `sloppy` passes over what nobody knows, never over what is refused. Raises `UsageError` naming the option; no value is shown,
    as it may be a secret that somebody put at the wrong place.
    """
    found = []
    for option in options:
        name, equals, value = option.partition("=")
        if name in _IGNORED or name.startswith((*_IGNORED_PREFIXES, _ENVIRONMENT)):
            continue
        if name in _REFUSED:
            raise UsageError(f"option {name!r} is not possible", hint=_REFUSED[name])
        if name.startswith("-"):
            raise UsageError(f"option {name!r} begins with a dash (expected {name.lstrip('-')!r})", hint=_SEE)
        meant = known.get(name.replace("_", "-"))
        if meant is None:
            if sloppy:
                continue
            raise UsageError(f"unknown option {name!r}{_nearest(name, known)}", hint=_SEE)
        if meant.takes_value and not equals:
            raise UsageError(f"option {name!r} needs a value (expected {name}=…)", hint=_SEE)
        if equals and not meant.takes_value:
            raise UsageError(f"option {name!r} takes no value (expected {name} alone)", hint=_SEE)
        found.append(f"{meant.flag}={value}" if meant.takes_value else meant.flag)
    return found


def _nearest(name: str, known: Mapping[str, Option]) -> str:
    from difflib import get_close_matches

    spelled = {each.replace("-", "_"): None for each in known} | dict.fromkeys((*_IGNORED, *_REFUSED))
    close = get_close_matches(name.replace("-", "_"), sorted(spelled), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
