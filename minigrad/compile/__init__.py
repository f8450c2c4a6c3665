"""Compiled execution: from a block's graph to kernels on the host's vector units.

Nothing is imported here: `import minigrad` must load neither Numba nor llvmlite.

Substrate, which knows nothing of graphs:
`target` the host's vector width; `vectors` and `values` emit LLVM vectors by running ordinary
Python; `functions` exp, tanh and friends on those vectors; `native` object code in, callables
out; `cache` compiled modules on disk; `gemm` (traced in `gemm_kernels`) matrix products by
address; `bridge` calls by address from code Numba types; `threads` a small pool.

On top of it, top down: `function` traces a user's function (`express` calls it through one native
list, made of the kernels in `glue`); `program` binds a compiled block to buffers and a `layout` of
its structure; `emit` turns a `plan` of stages into kernels; `lower` turns a block into rows of
vectors.
"""
