"""What mount(8) says to its helper: its words, the escapes, and what becomes of each option."""

import ctypes
import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.cli.mount_words import Option, Words, arguments, environment, parse_words, split_options
from mkfs.errors import UsageError

KNOWN: Final = {
    "cache-size": Option("--cache-size", takes_value=True),
    "filter": Option("--filter", takes_value=True),
    "allow-other": Option("--allow-other", takes_value=False),
    "no-allow-other": Option("--no-allow-other", takes_value=False),
    "xattr": Option("--xattr", takes_value=False),
}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("r/a:b /m -o rw", Words("r/a:b", "/m", "rw")),
        ("r/a:b /m", Words("r/a:b", "/m")),
        ("r/a:b /m -s -f -n -v -o ro,xattr -t fuse.kitfs", Words("r/a:b", "/m", "ro,xattr", sloppy=True, fake=True, verbose=True)),
        ("-sfnv -oro r/a:b /m", Words("r/a:b", "/m", "ro", sloppy=True, fake=True, verbose=True)),
        ("r/a:b /m -vo ro -o xattr", Words("r/a:b", "/m", "ro,xattr", verbose=True)),
    ],
)
def test_the_words_of_mount_are_read_wherever_they_stand(line: str, words: Words) -> None:
    assert parse_words(line.split()) == words


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "expected REF and DIR, got 0 words"),
        ("r/a:b", "got 1 words"),
        ("r/a:b /m /n", "got 3 words"),
        ("r/a:b /m -o", "-o needs a value"),
        ("r/a:b /m -N /proc/1/ns/mnt", "mount -N is not supported"),
        ("r/a:b /m -w", "unknown option '-w'"),
        ("r/a:b /m --verbose", "unknown option '--verbose'"),
    ],
)
def test_other_words_are_refused(line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse_words(line.split())
    assert len(caught.value.lines()) <= 3


def test_an_empty_reference_is_no_reference() -> None:
    with pytest.raises(UsageError, match="expected REF and DIR"):
        parse_words(["", "/m"])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", []),
        (",,ro,,", ["ro"]),
        ("rw,iversion,", ["rw", "iversion"]),
        (r"filter=docs\,code,xattr", ["filter=docs,code", "xattr"]),
        ('filter="docs,code",xattr', ["filter=docs,code", "xattr"]),
        (r"cache_dir=/a\\b", [r"cache_dir=/a\b"]),
        (r"cache_dir=a\"b", ['cache_dir=a"b']),
        ("proxy=a=b", ["proxy=a=b"]),
        ('filter=""', ["filter="]),
    ],
)
def test_a_comma_may_be_part_of_a_value(text: str, options: list[str]) -> None:
    assert split_options(text) == options


@pytest.mark.parametrize(
    ("text", "said"), [("ro,\\", "end with a backslash"), ('filter="a,b', "quote in the options does not end")]
)
def test_an_escape_that_does_not_end_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        split_options(text)


@given(st.lists(st.text(min_size=1)))
def test_what_is_escaped_is_read_again(options: list[str]) -> None:
    assert split_options(",".join(re.sub(r'([\\,"])', r"\\\1", option) for option in options)) == options


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z_.]+", fullmatch=True), st.text(st.characters(exclude_characters='\0"\\', codec="utf-8"))),
        min_size=1,
    )
)
def test_mount_cuts_quoted_options_where_we_do(pairs: list[tuple[str, str]]) -> None:
    text = ",".join(f'{name}="{value}"' for name, value in pairs)
    assert [split_options(raw) for raw in cut_by_libmount(text)] == [[f"{name}={value}"] for name, value in pairs]
    assert split_options(text) == [f"{name}={value}" for name, value in pairs]


def cut_by_libmount(text: str) -> list[str]:
    """The options of `text` as the real libmount sees them, still escaped (mnt_optstr_next_option)."""
    libmount = ctypes.CDLL("libmount.so.1")
    whole = ctypes.create_string_buffer(text.encode())
    position, found = ctypes.c_char_p(ctypes.addressof(whole)), []
    name, value = ctypes.c_void_p(), ctypes.c_void_p()
    name_size, value_size = ctypes.c_size_t(), ctypes.c_size_t()
    while not libmount.mnt_optstr_next_option(
        ctypes.byref(position), ctypes.byref(name), ctypes.byref(name_size), ctypes.byref(value), ctypes.byref(value_size)
    ):
        parts = [ctypes.string_at(name.value or 0, name_size.value)]
        if value.value is not None:
            parts.append(ctypes.string_at(value.value, value_size.value))
        found.append(b"=".join(parts).decode())
    return found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cache_size=20GiB", ["--cache-size=20GiB"]),
        ("cache-size=20GiB", ["--cache-size=20GiB"]),
        ("cache_size=-1", ["--cache-size=-1"]),  # one word: no option of its own
        ("allow_other,xattr", ["--allow-other", "--xattr"]),
        ("no_allow_other", ["--no-allow-other"]),
        (r"filter=docs\,code,filter=model", ["--filter=docs,code", "--filter=model"]),
        ("filter=", ["--filter="]),
    ],
)
def test_an_option_of_ours_becomes_its_flag(text: str, line: list[str]) -> None:
    assert arguments(split_options(text), KNOWN) == line


@pytest.mark.parametrize(
    "option",
    [
        *("auto", "noauto", "user", "user=me", "nouser", "users", "group", "owner", "_netdev", "nofail", "defaults", "comment=x"),
        *("ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "default_permissions"),
        *("atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime"),
        *("lazytime", "nolazytime", "async", "sync", "dirsync", "mand", "nomand", "iversion", "noiversion", "silent", "loud"),
        *("x-systemd.automount", "x-systemd.idle-timeout=1min", "x-gvfs-hide", "X-mount.mkdir", "env.HTTPS_PROXY=http://p.test"),
    ],
)
def test_what_any_line_of_fstab_may_say_is_no_word_for_us(option: str) -> None:
    assert arguments([option, "xattr"], KNOWN) == ["--xattr"]


@pytest.mark.parametrize(
    ("option", "said", "remedy"),
    [
        ("remount", "option 'remount' is not possible", "unmount it and mount it again"),
        ("foreground", "option 'foreground' is not possible", "kitfs@.service"),
        ("bind", "option 'bind' is not possible", "mount --bind"),
        ("nosymfollow", "option 'nosymfollow' is not possible", "cannot have it"),
        ("--xattr", "begins with a dash (expected 'xattr')", "kitfs mount --help"),
        ("-o", "begins with a dash", "kitfs mount --help"),
        ("cache_sise=1", "unknown option 'cache_sise' (did you mean 'cache_size'?)", "kitfs mount --help"),
        ("no-auto", "unknown option 'no-auto' (did you mean 'noauto'?)", "kitfs mount --help"),
        ("qqqq", "unknown option 'qqqq'", "kitfs mount --help"),
        ("cache_size", "option 'cache_size' needs a value (expected cache_size=…)", "kitfs mount --help"),
        ("xattr=yes", "option 'xattr' takes no value (expected xattr alone)", "kitfs mount --help"),
    ],
)
def test_what_cannot_be_is_refused_and_named(option: str, said: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        arguments(["ro", option], KNOWN)
    assert said in caught.value.what
    assert remedy in caught.value.hint


def test_a_refusal_does_not_show_the_value() -> None:
    for option in ("authfil=hunter2", "xattr=hunter2", "-password=hunter2", "remount=hunter2"):
        with pytest.raises(UsageError) as caught:
            arguments([option], KNOWN)
        assert "hunter2" not in "".join(caught.value.lines())


def test_sloppy_passes_over_what_nobody_knows_and_nothing_else() -> None:
    assert arguments(["qqqq=1", "xattr"], KNOWN, sloppy=True) == ["--xattr"]
    for option in ("remount", "--xattr", "cache_size"):
        with pytest.raises(UsageError):
            arguments([option], KNOWN, sloppy=True)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "MKFS_TAG_TTL",
            "HTTPS_PROXY",
            "https_proxy",
            "HTTP_PROXY",
            "http_proxy",
            "NO_PROXY",
            "no_proxy",
            "ALL_PROXY",
            "all_proxy",
        ),
        *("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "KITOPS_HOME"),
    ],
)
def test_the_environment_of_a_mount_can_be_set(name: str) -> None:
    assert environment(["ro", f"env.{name}=a=b"]) == {name: "a=b"}


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "PYTHONPATH", "HOME", "mkfs_tag_ttl", "XMKFS_A", "DOCKER_CONFIG2", ""])
def test_no_other_environment_can_be_set_and_its_value_is_not_shown(name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be set \(expected env\.NAME=VALUE\)") as caught:
        environment([f"env.{name}=hunter2"])
    assert "hunter2" not in "".join(caught.value.lines())


def test_a_variable_without_a_value_is_refused() -> None:
    with pytest.raises(UsageError):
        environment(["env.MKFS_OFFLINE"])
