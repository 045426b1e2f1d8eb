"""Gates, where threads and loops meet."""

import pytest
import trio

from mkfs.testing.gates import Gate


def test_a_loop_that_ends_just_when_the_gate_opens_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, woken = Gate(), []
    monkeypatch.setattr(gate, "leave", lambda _wake: None)  # as if the gate were opened right before

    async def hasty() -> None:
        with trio.move_on_after(0):
            await gate.passed()

    trio.run(hasty)
    gate.enter(lambda: woken.append("the next"))
    gate.release()
    assert woken == ["the next"]
