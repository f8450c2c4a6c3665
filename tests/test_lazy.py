"""What is kept, and what is not."""

import gc
import weakref

from minigrad.lazy import Weakly, lazy


class Thing:
    @lazy
    def number(self):
        return object()


def test_computed_once():
    thing = Thing()
    assert thing.number is thing.number is not Thing().number


def test_values_live_elsewhere():
    table, a, b = Weakly(), Thing(), Thing()
    table["a"], table["b"] = a, b
    assert table.get("a") is a and table.get("c") is None and set(table.values()) == {a, b}
    gone = weakref.ref(a)
    del a
    gc.collect()
    assert gone() is None and table.get("a") is None and table.values() == [b]
    table["a"] = b
    assert table.get("a") is b
