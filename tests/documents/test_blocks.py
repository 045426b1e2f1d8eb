"""Blocks of a page, and what is wrong in them."""

import pytest

from tests.support.documents import ROOT, blocks_of, our_commands, wrong_in

PAGE = """# Title

```sh needs=docker
docker run \\
  kitfs
```
## Next
- a list
  ```console
  $ kitfs version
  kitfs 1.0
  ```
"""


def test_a_block_knows_its_language_its_needs_and_its_section() -> None:
    first, second = blocks_of(ROOT / "README.md", PAGE)
    assert (first.line, first.section, first.language, first.needs) == (3, "Title", "sh", "docker")
    assert first.script == "docker run \\\n  kitfs\n"
    assert (second.line, second.section, second.language, second.needs) == (9, "Next", "console", "")
    assert second.script == "kitfs version\n"


def test_a_block_that_is_never_closed_is_said() -> None:
    with pytest.raises(ValueError, match=r"README\.md:1: the block is never closed"):
        blocks_of(ROOT / "README.md", "```sh\nls\n")


def test_calls_are_found_wherever_they_stand_in_a_line() -> None:
    script = "sudo kitfs umount /a && x=$(kitfs resolve r/a:1) # kitfs nothing\n/opt/kitfs/bin/kitfs ls \\\n  r/a:1 | head\n"
    assert list(our_commands(script)) == [["umount", "/a"], ["resolve", "r/a:1"], ["ls", "r/a:1"]]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("mount r/a:1 /mnt --foreground --tag-ttl=1h", ""),
        ("mount r/a:1 /mnt --forground", "mount: no such option: --forground"),
        ("cache prune --max-size 1", "prune: no such option: --max-size"),
        ("cache info --format json", ""),
        ("munt r/a:1", "no such verb: munt"),
        ("--version", ""),
        ("mount r/a:1 /mnt -- --odd", ""),
    ],
)
def test_a_verb_or_option_that_is_not_there_is_named(words: str, wrong: str) -> None:
    assert wrong_in(words.split()) == wrong
