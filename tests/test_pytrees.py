"""Containers that hold themselves are refused in words, wherever pytrees are taken in."""

import numpy as np
import pytest

import minigrad as mg

X = mg.asarray(1.0)
LIST: list = [X]
LIST.append(LIST)
DICT: dict = {"a": np.ones(2)}
DICT["b"] = DICT
NUMBERS: list = [1.0]
NUMBERS.append(NUMBERS)
CALLS = {
    "grad": lambda: mg.grad(X, LIST), "vjp": lambda: mg.vjp(LIST, X, LIST),
    "jvp": lambda: mg.jvp(X, LIST, LIST), "jacobian": lambda: mg.jacobian(LIST, X),
    "hessian": lambda: mg.hessian(X, LIST), "hvp": lambda: mg.hvp(X, LIST, X),
    "contributions": lambda: mg.contributions(X, LIST),
    "state_gradients": lambda: mg.state_gradients(X, LIST), "evaluate": lambda: mg.evaluate(LIST),
    "reference": lambda: mg.reference(DICT), "tensors": lambda: mg.tensors(DICT),
    "function": lambda: mg.function(lambda d: 1.0)(DICT),
    "result": lambda: mg.function(lambda d: LIST)(np.ones(2)),
    "block": lambda: mg.block(lambda d: 1.0)(DICT), "vmap": lambda: mg.vmap(lambda d: 1.0)(DICT),
    "recur": lambda: mg.recur(lambda p, h, x: (h, h), mg.Structure.chain(1), initial=DICT),
    "unfold": lambda: mg.unfold(LIST), "adam": lambda: mg.optim.adam().init(DICT),
    "clip": lambda: mg.optim.clip_by_global_norm(DICT, 1.0), "asarray": lambda: mg.asarray(NUMBERS),
    "asarray of Tensors": lambda: mg.asarray(LIST), "an op": lambda: mg.tanh(NUMBERS),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_container_that_holds_itself(call):
    with pytest.raises(ValueError, match="contains itself"):
        call()
