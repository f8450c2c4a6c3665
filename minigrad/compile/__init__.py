"""Compiled execution: from a block's graph to the kernels of `minigrad.kernels`.

Nothing is imported here: `import minigrad` must load neither Numba nor llvmlite.

Top down: `function` traces a user's function (`express` calls it through one native list);
`program` binds a compiled block to buffers and a `layout` of its structure; `emit` writes a `plan`
of stages down as data; `lower` turns a block into rows of vectors.
"""
