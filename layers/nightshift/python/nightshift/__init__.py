"""Nightshift: the on-call engineer who never sleeps."""

__version__ = "0.1.0"
