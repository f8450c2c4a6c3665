"""The substrate of compiled execution: kernels on the host's vector units.  It knows no graph.

Nothing is imported here: `import minigrad` must load neither Numba nor llvmlite.

target           the host's vector width
vectors, values  emit LLVM vectors by running ordinary Python
elementary       exp, tanh and friends on those vectors
gemm             matrix products by address (traced in `gemm_kernels`)
stages           fused loops over rows and levels, from data
compiler         whether Numba and llvmlite can be used, and the door to them
native           takes object code in and gives callables
cache            keeps compiled modules on disk
glue             runs lists of kernels and binds arrays to tables
threads          a small pool
"""
