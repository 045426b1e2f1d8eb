"""Everything that was kept is replayed, in proportion; and each target is fuzzed for five seconds, in a process of its own."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.oracles import check_work, work_of
from tests.fuzz.running import Run, fuzz
from tests.fuzz.targets import CORPUS, TARGETS

SECONDS: Final = 5  # for each target
AT_A_TIME: Final = 4  # on two processors: each gets half of one, and all are done within a minute where nothing else runs
SEED: Final = 20_261_126
LONG_BYTES: Final = 16_384  # of a kept input, repeated
KEPT: Final = [(name, path.name) for name, target in TARGETS.items() for path in target.corpus]


def test_each_target_has_its_corpus_and_nothing_else_is_kept() -> None:
    assert {path.name for path in CORPUS.iterdir()} == TARGETS.keys()
    assert all(any(name.startswith("seed-") for each, name in KEPT if each == target) for target in TARGETS)


@pytest.mark.parametrize(("target", "name"), KEPT)
def test_a_kept_input_does_no_harm_and_causes_work_in_proportion(target: str, name: str) -> None:
    check = TARGETS[target].check
    data = (CORPUS / target / name).read_bytes()
    check(data)  # what is imported and built once is not counted
    check_work(work_of(lambda: check(data)), len(data))
    longer = data * (1 + LONG_BYTES // max(1, len(data)))
    check_work(work_of(lambda: check(longer)), len(longer))


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, "Future[Run]"]]:
    """All targets that this run of the suite asks for, some at a time."""
    wanted = [
        item.callspec.params["fuzzed"] for item in request.session.items if "fuzzed" in getattr(item, "callspec", NONE).params
    ]
    new = tmp_path_factory.mktemp  # to each its own for crashes: `artifact-…` may be one of artifact-index
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {name: pool.submit(fuzz, name, SECONDS, [new(name), CORPUS / name], new("crashes"), SEED) for name in wanted}
        pool.shutdown(cancel_futures=True)


class NONE:
    """A test without parameters."""

    params: Final[dict[str, object]] = {}


if find_spec("atheris"):

    @pytest.mark.parametrize("fuzzed", TARGETS)
    def test_five_seconds_of_fuzzing_find_nothing(runs: dict[str, "Future[Run]"], fuzzed: str) -> None:
        run = runs[fuzzed].result()
        assert run.crash is None, run.story
        assert run.executions > len(TARGETS[fuzzed].corpus)

else:  # a Python or a processor for which there is none

    @pytest.mark.parametrize("fuzzed", TARGETS)
    def test_inputs_by_chance_find_nothing(fuzzed: str) -> None:
        kept = [path.read_bytes() for path in TARGETS[fuzzed].corpus]
        edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 9), st.binary(max_size=9)), max_size=5)

        @settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(kept), edits)
        def fuzz_by_chance(data: bytes, changes: list[tuple[float, int, bytes]]) -> None:
            for place, length, new in changes:
                at = int(place * len(data))
                data = data[:at] + new + data[at + length :]
            TARGETS[fuzzed].check(data)

        fuzz_by_chance()
