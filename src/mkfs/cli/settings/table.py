"""All rows, in the order in which `--help` and the document have them."""

from typing import Final

from mkfs.cli.settings.calls import CALL_ROWS
from mkfs.cli.settings.handing import HANDOVER_ROWS
from mkfs.cli.settings.mounting import MOUNT_ROWS
from mkfs.cli.settings.registry import REGISTRY_ROWS, TRUST_ROWS
from mkfs.cli.settings.setting import Setting
from mkfs.cli.settings.storage import CACHE_ROWS, INDEX_ROWS

SETTINGS: Final[tuple[Setting, ...]] = (
    *MOUNT_ROWS,
    *HANDOVER_ROWS,
    *REGISTRY_ROWS,
    *CACHE_ROWS,
    *TRUST_ROWS,
    *INDEX_ROWS,
    *CALL_ROWS,
)

BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
BY_KEY: Final = {setting.key: setting for setting in SETTINGS if setting.key}
# Variables of ours that are no settings: where scripts/ puts the environment they build, and where control sockets are, which who
# asks has to know without reading a file.
OTHER_VARIABLES: Final = frozenset(("MKFS_VENV", "MKFS_RUNTIME_DIR"))
VARIABLES: Final = frozenset(setting.variable for setting in SETTINGS if setting.variable)
