"""Old name of `minigrad.testing.laws`, for tests that are still being written."""

from minigrad.testing.laws import close, directions, dot

__all__ = ["close", "directions", "dot"]
