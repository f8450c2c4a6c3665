"""Graphs as text: `source` writes a program in another library, `expr` and `latex` an expression,
`show` lists a graph line by line.

source                : the printer, a node at a time: `plans` what is printed, `names` what it is
                        called, `lines` how long lines are broken.
loops, scans, walks   : recurrences: loops over chains and other structures, JAX's scans.
spellings, javascript : how each library writes each op, a row an op; `helpers` what it has no
                        word for, `matrices` those of `mg.linalg`, `libraries` the rest of its
                        grammar.
expression, latex     : one expression, `expr` and `latex`, made by the engine `writer` of what
                        `standins` finds; `through` knows gradients through time, `letters` names.
show, html            : the listing, as text and in a notebook, and the card of a Tensor.
"""
