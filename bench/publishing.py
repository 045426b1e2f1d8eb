"""The results that are kept in the repository: of each question the numbers and a picture."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.picture import picture
from bench.report import Answer

PLACE: Final = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
_SHOWN: Final = ("date", "machine", "versions")  # below the title of a picture


def publish(answer: Answer, run: Mapping[str, object], machine: Mapping[str, str], place: Path = PLACE) -> None:
    """Writes `QUESTION.json` and `QUESTION.svg` into `place`, over older ones. `run` says how it was asked: rounds, size."""
    place.mkdir(parents=True, exist_ok=True)
    document = {"question": answer.question, "machine": dict(machine), **run, **answer.as_json()}
    (place / f"{answer.question}.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    lines = [
        " · ".join([*(machine[name] for name in _SHOWN), *(f"{name} {value}" for name, value in run.items() if value is not False)])
    ]
    (place / f"{answer.question}.svg").write_text(picture(answer, lines), "utf-8")
