"""The number of requests that use a version, which is freed after the last."""

import asyncio


class UseCounter:
    """The number of requests that use a version."""

    def __init__(self) -> None:
        self._count = 0
        self._unused: asyncio.Future[None] | None = None

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count and self._unused and not self._unused.done():
            self._unused.set_result(None)

    async def wait_until_unused(self) -> None:
        """Waits until the count is zero, including requests that begin meanwhile."""
        while self._count:
            self._unused = asyncio.get_running_loop().create_future()
            await self._unused
