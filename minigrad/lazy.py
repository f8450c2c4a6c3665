"""Attributes that are computed when they are first read, and kept; values that are not."""

import weakref
from collections.abc import Hashable
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


class Weakly:
    """A table that keeps none of its values alive.

    As `weakref.WeakValueDictionary`, at a tenth of its cost where most tables are short and short
    of life: what is dead leaves its key behind.
    """

    __slots__ = ("refs",)

    def __init__(self) -> None:
        self.refs: dict[Hashable, weakref.ref] = {}

    def get(self, key: Hashable) -> Any:
        ref = self.refs.get(key)
        return None if ref is None else ref()

    def __setitem__(self, key: Hashable, value: Any) -> None:
        self.refs[key] = weakref.ref(value)

    def values(self) -> list[Any]:
        return [x for ref in list(self.refs.values()) if (x := ref()) is not None]
