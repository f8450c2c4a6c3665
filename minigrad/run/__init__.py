"""Values of a graph.

`reference` node by node, the oracle of everything;
`levels` a whole level of a recurrence at once;
`evaluate` on both;
`nonfinite` finds where a NaN began.
"""
