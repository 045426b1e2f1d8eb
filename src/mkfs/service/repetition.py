"""Lines that say the same again and again: the first few are logged, then one a minute, with how many there were."""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, final

FIRST: Final = 5  # logged as they come
PERIOD_SECONDS: Final = 60.0  # by the records' own time
REMEMBERED: Final = 256  # texts: more at once are no repetition any more


@dataclass(slots=True)
class _Seen:
    since: float
    count: int = 0
    kept_back: int = 0


@final
class Repetition(logging.Filter):
    """Keeps back what was said before. Errors too: a thousand readers of one layer say the same.

    How many were kept back is told with the next one; of the last ones, nobody tells. Two threads at once may lose one of the
    count.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: OrderedDict[tuple[str, int, str], _Seen] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is logged. To come after whatever makes `msg` the whole text."""
        key = (record.name, record.levelno, str(record.msg))
        seen = self._seen.pop(key, None)
        if seen is None or record.created - seen.since >= PERIOD_SECONDS or record.created < seen.since:
            kept_back = 0 if seen is None else seen.kept_back
            seen = _Seen(record.created, FIRST - 1 if kept_back else 0)
            if kept_back:
                record.msg = f"{record.msg} (said {kept_back} more times before)"
        self._seen[key] = seen
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        seen.count += 1
        if seen.count > FIRST:
            seen.kept_back += 1
            return False
        return True
