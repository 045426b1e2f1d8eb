"""One target under atheris, in a process of its own: python -m tests.fuzz.under_atheris TARGET [libFuzzer's flags and directories].

Nobody imports this: atheris instruments what is imported after it.
"""

import shlex
import sys
import tempfile
from collections.abc import Callable
from typing import Final

import atheris

with atheris.instrument_imports(include=["mkfs"]):
    from tests.fuzz.targets import TARGETS

# By the clock on the wall, which goes on while a busy machine does other things. How much work an input may cause is the matter of
# `oracles`; this is for what never ends.
HANG_SECONDS: Final = 60


def main() -> None:
    """Fuzzes until libFuzzer ends the process."""
    name, *flags = sys.argv[1:]
    target = TARGETS[name]
    # libFuzzer starts itself again to merge, by this word.
    program = shlex.join([sys.executable, "-m", "tests.fuzz.under_atheris", name])
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as words:
        words.writelines(f"{_quoted(word)}\n" for word in target.words)
        words.flush()
        hangs = (f"-timeout={HANG_SECONDS}", f"-report_slow_units={HANG_SECONDS}")  # the second writes a file, too
        given = [program, f"-max_len={target.longest_bytes}", *hangs, "-rss_limit_mb=1500"]
        given += [] if "-merge=1" in flags else [f"-dict={words.name}"]
        if target.repair is None:
            atheris.Setup([*given, *flags], target.check)
        else:
            atheris.Setup([*given, *flags], target.check, custom_mutator=_repairing(target.repair))
        atheris.Fuzz()


def _quoted(word: bytes) -> str:
    """As libFuzzer's dictionaries have it."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"'


def _repairing(repair: Callable[[bytes], bytes]) -> Callable[[bytes, int, int], bytes]:
    def mutate(data: bytes, longest_bytes: int, seed: int) -> bytes:
        mutated = atheris.Mutate(data, longest_bytes)
        return repair(mutated)[:longest_bytes] if seed % 4 else mutated  # what is not right has a turn, too

    return mutate


if __name__ == "__main__":
    main()
