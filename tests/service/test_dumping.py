"""What SIGUSR1 shows of trio's tasks."""

import trio
import trio.testing

from mkfs.service.dumping import task_lines


async def waits_for_a_secret(word: str, gate: trio.Event) -> None:
    await gate.wait()
    raise AssertionError(word)


async def test_the_tree_names_functions_and_files_and_no_value() -> None:
    gate = trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(waits_for_a_secret, "hunter2", gate)
        await trio.testing.wait_all_tasks_blocked()
        lines = list(task_lines())
        nursery.cancel_scope.cancel()
    mine = [line for line in lines if "waits_for_a_secret" in line]
    assert len(mine) == 1
    name, innermost, *outer = [part.strip() for part in mine[0].split(" < ")]
    assert name == f"{__name__}.waits_for_a_secret"
    assert innermost.startswith("waits_for_a_secret (test_dumping.py:")
    assert outer == []
    after = lines[lines.index(mine[0]) + 1].strip()
    assert after == "… and 4 the same"
    assert "hunter2" not in "".join(lines)
