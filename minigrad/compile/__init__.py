"""Compiled execution: from a block's graph to the kernels of `minigrad.kernels`.

Nothing is imported here: `import minigrad` must load neither Numba nor llvmlite.

Top down:
`function` traces a user's function, and `ways` says how it is run:
`compiled`, its recurrences bound to programs and called through one native list, the `lane`,
or `evaluated`, where there is no compiler.
A call's arguments are its leaves (`unpack`), looked over at the `entrance`;
what a lane is made of: `timetable`, where things lie and when, `feeds`, what runners read,
`moves`, ops with kernels of their own.
`results` are what leaves, in memory of their own or (`donate`) in that of an argument.
A `runner` binds a compiled block to one structure: its `layout`,
the buffers in `memory` and the `table` of their addresses, and calls the kernels in `sequence`.
A `program` is a compiled block: `emit` writes a `plan` of stages, made of `pieces`, down as data;
`lower` turns a block into rows of vectors (`language`); `floats` says what numbers are in it.
"""

import sys

from ..manners.spellings import Internal

sys.modules[__name__].__class__ = Internal  # `mg.compile(f)` is told what to write
