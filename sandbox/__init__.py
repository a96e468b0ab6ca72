"""An AWS account on this machine, with cause and effect, on a virtual clock. Begin with `World`."""

from sandbox.clock import NeverHappened, Order
from sandbox.world import World

__all__ = ["NeverHappened", "Order", "World"]
