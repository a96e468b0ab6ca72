"""
Execution environments: each has its own copy of a function's modules, as on Lambda, where one runs one event at a time.

What a function keeps between two events (the service with its clients, a batch processor, metrics) is then kept by the
environment that ran it, and not seen by another that runs at the same time. An environment that died starts afresh.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import defaultdict
from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest.mock import patch

import nightshift
import nightshift.edge

__all__ = ["Environments"]

Handler = Callable[[Any, Any], Any]


class Environment:
    """One copy of a function's module, and of the edge that it imports."""

    def __init__(self, name: str) -> None:
        self.edge = _copy("nightshift.edge")
        with (
            patch.dict(sys.modules, {"nightshift.edge": self.edge}),
            patch.object(nightshift, "edge", self.edge),
        ):
            self.handler: Handler = _copy(f"functions.{name}").handler

    def forget(self) -> None:
        """Start afresh: the next event finds nothing that the last one left."""
        self.edge.forget()


_made: dict[str, list[Environment]] = defaultdict(list)
"""by function; kept from run to run, because making one takes as long as a few hundred calls"""


class Environments:
    """The environments of one run: as many of each function as run at the same time."""

    def __init__(self) -> None:
        self._free = {name: list(made) for name, made in _made.items()}
        self.forget()

    def handler(self, name: str) -> Handler:
        """A function's handler, which runs in whichever environment is free."""

        def handle(event: Any, context: Any) -> Any:
            free = self._free.setdefault(name, [])
            environment = free.pop() if free else _new(name)
            try:
                return environment.handler(event, context)
            except BaseException:
                environment.forget()
                raise
            finally:
                free.append(environment)

        handle.__name__ = name
        return handle

    @staticmethod
    def forget() -> None:
        """Everybody starts afresh, as after a deployment."""
        for environments in _made.values():
            for environment in environments:
                environment.forget()


def _new(name: str) -> Environment:
    environment = Environment(name)
    _made[name].append(environment)
    return environment


def _copy(name: str) -> ModuleType:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
