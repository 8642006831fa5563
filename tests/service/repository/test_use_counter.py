"""Tests of the use counter: who waits is woken by the last request's end."""

import asyncio

import pytest

from service.repository.use_counter import UseCounter

pytestmark = pytest.mark.anyio


async def test_waiting_ends_with_the_last_use() -> None:
    use = UseCounter()
    await use.wait_until_unused()
    with use:
        waiting = asyncio.create_task(use.wait_until_unused())
        with use:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
