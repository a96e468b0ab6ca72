"""The simulation's pool without processes: what is submitted is done at once, in this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from sandbox.simulation.campaign import Pool, Task

__all__ = ["AtOnce", "InThisProcess"]


class InThisProcess(Pool):
    """A pool that needs no process."""

    def _new(self) -> Any:
        return AtOnce()


class AtOnce:
    """An executor that does what it is given. A task with one of the ``deadly`` seeds takes its process along."""

    def __init__(self, deadly: tuple[int, ...] = ()) -> None:
        self._deadly = deadly

    def submit(self, do: Callable[..., Any], *args: Any) -> Future[Any]:
        """Do it."""
        future: Future[Any] = Future()
        if args and isinstance(args[0], Task) and set(args[0].seeds) & set(self._deadly):
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(do(*args))
        return future

    def shutdown(self, **_: Any) -> None:
        """Nothing is to be ended."""
