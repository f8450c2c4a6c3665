"""Compiled execution: from a block's graph to the kernels of `minigrad.kernels`.

Nothing is imported here: `import minigrad` must load neither Numba nor llvmlite.

Top down:
`function` traces a user's function (`express` calls it through one native list).
A `runner` binds a compiled block to one structure: its `layout`,
the buffers in `memory` and the `table` of their addresses, and calls the kernels in `sequence`.
A `program` is a compiled block: `emit` writes a `plan` of stages down as data;
`lower` turns a block into rows of vectors.
"""
