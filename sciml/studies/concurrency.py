"""Coroutines at once, and ended together."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any

from sciml.io.jobs import Interrupted


async def together(awaitables: Iterable[Awaitable[Any]]) -> list[Any]:
    """All of them at once; their results in order. If one fails the others are cancelled, and ended first."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def run_stoppable(main: Coroutine[Any, Any, None], kept: str) -> None:
    """Runs it to its end. The first Ctrl-C or SIGTERM cancels it: Interrupted, with `kept`, when all has ended."""
    caught: list[signal.Signals] = []

    async def guarded() -> None:
        task = asyncio.ensure_future(main)

        def stop(number: signal.Signals) -> None:
            if not caught:
                caught.append(number)
                task.cancel()

        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:  # nohup
                    loop.add_signal_handler(number, stop, number)
        await task

    try:
        asyncio.run(guarded())
    except asyncio.CancelledError:
        raise Interrupted(f"{caught[0].name}: {kept}", 128 + caught[0]) from None
