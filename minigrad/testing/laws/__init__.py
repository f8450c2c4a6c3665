"""Laws that every recurrence obeys, as functions; `check_cell` puts a cell of one's own to all.

    from minigrad.testing import laws
    print(laws.check_cell(my_cell, input_size=3))      # a table, law by law; raises LawBroken

A law takes a `Problem` (a cell over a structure, with its arrays),
returns None, or says in a word why it does not apply,
and raises AssertionError with the numbers where it is broken.
"""

from __future__ import annotations

from .cells import LawBroken, LawReport, LawResult, check_cell, structures_for
from .comparing import close, directions, dot, everything, floats, record, require, wrt_of
from .recurrences import (
    LAWS,
    adjoint,
    batched_is_one_by_one,
    checkpoints_change_nothing,
    compiled_is_reference,
    contributions_add_up,
    contributions_are_per_node,
    evaluate_is_reference,
    gradient_is_a_slope,
    gradients_are_correct,
    hessian_is_symmetric,
    plain_loop,
    ragged_is_padded,
    recur_is_a_loop,
    row_numbers_do_not_matter,
    second_orders_agree,
    threads_and_calls_agree,
)

__all__ = [
    "LAWS", "LawBroken", "LawReport", "LawResult", "adjoint", "batched_is_one_by_one", "check_cell",
    "checkpoints_change_nothing", "close", "compiled_is_reference", "contributions_add_up",
    "contributions_are_per_node", "directions", "dot", "evaluate_is_reference", "everything",
    "floats", "gradient_is_a_slope", "gradients_are_correct", "hessian_is_symmetric", "plain_loop",
    "ragged_is_padded", "record", "recur_is_a_loop", "require", "row_numbers_do_not_matter",
    "second_orders_agree", "structures_for", "threads_and_calls_agree", "wrt_of",
]  # fmt: skip
