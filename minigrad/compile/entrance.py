"""From Python to kernels: a call's arrays looked over, its results made, both written into tables.

All of it in one native call, and the kernels behind it too where nothing else is to be run:
some microseconds, however many arrays there are.  Where objects do not lie in memory as the kernels
expect (`glue.reads_objects`), Python does the same.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ..graph import Shape, Tensor
from ..kernels import glue
from ..kernels.glue import address
from .donate import OWN, Donation
from .sequence import Schedule

LARGE = 2**16  # bytes of a result from which memory of dropped results is used again
READY = 0x0001 | 0x0100  # NumPy's flags: C order, aligned
OWNED = 0x0004  # it owns its data
Taken = tuple[list[np.ndarray], Collection[int]]  # the results' arrays; numbers of what is lent


class Entrance:
    """How the calls of one trace begin.

    inputs  : placeholders of the arrays, in order.
    results : shape, dtype and lender (the number of the array whose memory it may have) of each.
    targets : (number of an array, results counted on behind the inputs; where its address goes).
    alone   : what is to be run behind, if that is all there is to a call.
    """

    def __init__(
        self, inputs: Sequence[Tensor], results: Sequence[tuple[Shape, np.dtype, int | None]],
        targets: Sequence[tuple[int, int]], donation: Donation, alone: Schedule | None,
    ):  # fmt: skip
        self.inputs, self.donation = inputs, donation
        self.targets = targets
        self.wide = [(k, ph) for k, ph in enumerate(inputs) if ph.ndim > glue.LENGTHS]
        self.rooms: dict[int, np.ndarray] = {}
        self.makers: list[tuple] = []  # of each result: lender, what makes an array, of what
        for k, (shape, dtype, lender) in enumerate(results):
            size = math.prod(shape) * dtype.itemsize
            if size < LARGE or lender is not None:  # what is to be donated next has to own its data
                self.makers.append((lender, np.empty, shape, dtype))
            else:
                self.makers.append((None, self._room, k, size, shape, dtype))
        self.lenders = [lender or 0 for lender, *_ in self.makers]
        self.made = [(j, m[1], m[2:]) for j, m in enumerate(self.makers) if m[0] is None]
        self.native = glue.reads_objects()
        self.lends = bool(self.native and donation.used and not self.wide)
        self._tables(alone)

    def _tables(self, alone: Schedule | None) -> None:
        """What the kernels read; box: their arguments, where memory is lent and where it is not."""
        checks = np.zeros((len(self.inputs), glue.CHECK), np.int64)
        for k, ph in enumerate(self.inputs):
            lent = OWN if k in self.donation.used else READY | OWNED
            lengths = (*ph.shape, *[0] * glue.LENGTHS)[: glue.LENGTHS]
            checks[k] = id(ph.dtype), READY, lent, ph.ndim, *lengths
        to_write = np.array(self.targets, np.int64).reshape(-1, 2)
        self.wrong = np.zeros(1, np.int64)
        boxes = []
        for lends in (0, 1):
            words = [
                id(np.ndarray), len(checks), address(checks), address(to_write), len(to_write),
                lends, address(self.wrong),
            ]  # fmt: skip
            boxes.append(np.array([*words, *(alone.work[0] if alone else [0] * glue.CALL)]))
        self.alive = checks, to_write, boxes
        module = glue.kernels()
        self.run = (module.bind_and_run if alone else module.bind).run
        if alone:
            self.boxes: Any = [(address(box),) for box in boxes]
        else:
            self.boxes = [tuple(map(int, box[: glue.BIND])) for box in boxes]

    def enter(self, arrays: list[Any], given: Sequence[Any] | None = None) -> Taken | None:
        """Results for a call with these arrays, and who lends memory; None if they do not fit.

        given: what the caller passed, where `arrays` are copies.
        """
        if self.lends and given is None:  # as nearly always: nobody's arrays but the caller's own
            results = [arrays[k] for k in self.lenders]
            for j, make, what in self.made:
                results[j] = make(*what)
            self.run(id(arrays), id(results), *self.boxes[1])
            if not self.wrong[0]:
                return results, self.donation.used
        for x in arrays:
            if type(x) is not np.ndarray:
                return None
        lent: Collection[int] = ()
        if self.donation.used:
            lent = self.donation.lent(arrays, arrays if given is None else given)
        results = [
            arrays[lender] if lender in lent else make(*what) for lender, make, *what in self.makers
        ]
        if any(_unlike(arrays[k], ph) for k, ph in self.wide):
            return None
        if self.native:
            self.run(id(arrays), id(results), *self.boxes[0])
            return None if self.wrong[0] else (results, lent)
        return (results, lent) if self._write(arrays, results) else None

    def _room(self, k: int, size: int, shape: Shape, dtype: np.dtype) -> np.ndarray:
        """An array for a large result, in an earlier result's memory if nobody holds that any more.

        (Memory that is new to the process costs more to touch than to fill.)
        """
        room = self.rooms.pop(k, None)
        if room is None or sys.getrefcount(room) > 2:  # ours and the call's own; more: in use
            room = np.empty(size, np.uint8)
        self.rooms[k] = room
        return room.view(dtype).reshape(shape)

    def _write(self, arrays: Sequence[np.ndarray], results: Sequence[np.ndarray]) -> bool:
        """`glue.bind` in Python, where objects look unfamiliar."""
        if any(_unlike(x, ph) for x, ph in zip(arrays, self.inputs, strict=True)):
            return False
        addresses = [address(x) for x in (*arrays, *results)]
        for k, at in self.targets:
            ctypes.c_int64.from_address(at).value = addresses[k]
        return True


def _unlike(x: np.ndarray, ph: Tensor) -> bool:
    flags = x.flags
    lies_well = flags.c_contiguous and flags.aligned and x.dtype.isnative
    return x.shape != ph.shape or x.dtype != ph.dtype or not lies_well
