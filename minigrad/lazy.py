"""Attributes that are computed when they are first read, and kept."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functools import cached_property as lazy
else:

    class lazy:
        """`functools.cached_property` without its lock.

        Python 3.11's is held for all objects of a class:
        a process forked meanwhile would wait for it for ever.
        Two threads may both compute a value; either is right.
        """

        def __init__(self, f: Any):
            self.f, self.__doc__ = f, f.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, of: Any, owner: type | None = None) -> Any:
            if of is None:
                return self
            value = of.__dict__[self.name] = self.f(of)
            return value
