"""What a row of the table says."""

from typing import Any, Final, final

from msgspec import Struct

from mkfs.cli.settings.kinds import Kind

# The headings of `--help` and of the document, in their order.
SHOWN: Final = "What is shown"
READING: Final = "Reading ahead and waiting"
OWNERSHIP: Final = "Who may read"
REGISTRY: Final = "Registry"
CACHE: Final = "Cache"
TRUST: Final = "Trust"
DAEMON: Final = "The daemon and its log"
INDEX: Final = "Making a chunk index"
COMMAND: Final = "This command"
GROUPS: Final = (SHOWN, READING, OWNERSHIP, REGISTRY, CACHE, TRUST, DAEMON, INDEX, COMMAND)

# Which verbs have an option, as they are typed.
SHOWING: Final = (
    "mount",
    "ls",
    "inspect",
    "doctor",
    "warmup",
    "verify",
    "index build",
    "index push",
)  # REF, and all that comes of it
ASKING: Final = (*SHOWING, "resolve", "tags")  # registries are asked
KEEPING: Final = (*SHOWING, "cache info", "cache verify", "cache prune", "cache clear")  # the cache is used
CONFIGURED: Final = (*KEEPING, "resolve", "tags", "config show")  # the config file is read


@final
class Setting(Struct, frozen=True, kw_only=True):
    """One thing that can be said, and every place where it can be said.

    A row without flags stands in the config file only; one without `variable` and `key` is of a single call. `default` is what
    holds when nobody says anything: as one would write it, or a function that is asked then; `default_words` says it where a
    value cannot.
    """

    name: str  # of the parameter that a verb gets
    help: str
    kind: Kind
    group: str
    verbs: tuple[str, ...]
    flags: tuple[str, ...] = ()  # as click takes them: "-f", "--foreground"; "--fill/--no-fill"
    variable: str = ""
    key: str = ""  # in the config file: "cache.size" is `size` below `[cache]`
    default: Any = None
    default_words: str = ""
    example: str = ""  # a value as a config file has it, where the default is none; of a table: with its lines
    metavar: str | None = None  # where the kind's says too little
    is_repeatable: bool = False
    is_required: bool = False
    is_experimental: bool = False  # may change or go in any version, said in the changelog
    is_read_apart: bool = False  # of the config file: not a default of the option, but added to it by who reads the section

    @property
    def is_persistent(self) -> bool:
        """Whether it can be said once, for many calls."""
        return bool(self.variable or self.key)

    @property
    def flag(self) -> str:
        """Its long flag, the first where there are two; "" for none."""
        return next((flag.partition("/")[0] for flag in self.flags if flag.startswith("--")), "")

    @property
    def default_text(self) -> str:
        """What holds when nobody says anything, for a person; "" for nothing to tell."""
        if self.default_words:
            return self.default_words
        return "" if self.default is None else self.default if isinstance(self.default, str) else self.kind.write(self.default)

    @property
    def words(self) -> str:
        """What a person calls it by: its key, else its flag."""
        return self.key or self.flag
