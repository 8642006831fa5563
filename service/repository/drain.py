"""Draining of versions that were replaced: each is freed when the last request that uses it has ended."""

import asyncio

from service.repository.state import Repository


class Drain:
    """Former states, whose versions end with their last requests."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[None], Repository] = {}

    def __len__(self) -> int:
        """Returns the number of former states that are not freed yet."""
        return len(self._running)

    def begin(self, former: Repository, current: Repository) -> None:
        """Frees the versions that only the former state has, once nobody uses them."""
        running = asyncio.create_task(_free(former, current))
        self._running[running] = former
        running.add_done_callback(self._running.pop)

    def close(self) -> None:
        """Frees every former state now, in use or not."""
        for running, former in self._running.items():
            running.cancel()
            former.close()


async def _free(former: Repository, current: Repository) -> None:
    remaining = {id(model) for model in current.all_models()}
    removed = [model for model in former.all_models() if id(model) not in remaining]
    for model in removed:
        await model.use.wait_until_unused()
    for model in removed:
        await model.batcher.aclose()
