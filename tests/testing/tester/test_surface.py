"""Every public function called with wrong arguments: a result, or an error in words."""

import re

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz
from minigrad.testing.tester import surface


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """What a call writes is not left in the clone."""
    monkeypatch.chdir(tmp_path)

OURS = ("minigrad", "recurrent", "viz")
RNG = np.random.default_rng(0)
X, WORDS = np.ones((4, 2, 3)), np.ones((3, 3))
LSTM, RNN, TREE = rc.LSTM(3, 4), rc.RNN(3, 4), rc.TreeLSTM(3, 4)
P, Q, R = LSTM.init(0), RNN.init(0), TREE.init(0)
T = rc.Tree.parse("(1 (2 (3 a) (4 b)) (5 c))")
CHAIN, FOREST = mg.Structure.chain([2, 3]), mg.Structure.forest([[], [], [0, 1]])
NET = rc.encoder_decoder(RNN, rc.RNN(3, 4), target_tokens=5, source_tokens=6)
NP = NET.init(0)
S, Y = np.ones((3, 2), int), np.ones((4, 2), int)
SCORING = rc.ScoringNet(3, 4)
ARCS = [(0, 1, "a"), (1, 2, "b"), (0, 2, "ab")]
ONNX = {"W": np.ones((1, 16, 3)), "R": np.ones((1, 16, 4))}
STATE = {
    "weight_ih_l0": np.ones((4, 3)), "weight_hh_l0": np.ones((4, 4)),
    "bias_ih_l0": np.ones(4), "bias_hh_l0": np.ones(4),
}  # fmt: skip
VOCABULARY = rc.Vocabulary("abc")
x, y = mg.tensors((np.ones((2, 3)), np.ones((2, 3))))
LOSS = mg.sum(mg.square(x) * y)
ADAM, PARAMS = mg.optim.adam(0.1), {"w": np.ones(3)}
TURING = rc.binary_increment()


def cell(p, h, x):
    return h + mg.sum(x, axis=-1, keepdims=True), h


# name -> (function, args, kwargs) of a call that is right; each argument is exchanged in turn
CALLS = {
    # structures, cells, running
    "chain": (mg.Structure.chain, ([2, 3],), {"reverse": True}),
    "forest": (mg.Structure.forest, ([[], [], [0, 1]],), {"slots": 3}),
    "grid": (mg.Structure.grid, ((2, 3),), {}),
    "edges": (mg.Structure.edges, (3, [0, 1], [1, 2]), {"slot": [0, 1]}),
    "truncated": (FOREST.truncated, ([True, False],), {}),
    "with_slots": (FOREST.with_slots, (4,), {}),
    "without_edge": (FOREST.without_edge, (0,), {}),
    "copies": (FOREST.copies, (2,), {}),
    "recur": (mg.recur, (RNN, CHAIN), {"initial": np.zeros((1, 4)), "shared": Q,
                                       "inputs": np.ones((5, 3)), "checkpoint": 2}),
    "Indexed": (mg.Indexed, (np.ones((2, 3)), [0, 1, -1]), {}),
    "unroll": (rc.unroll, (LSTM, P, X), {"carry": (np.zeros((2, 4)),) * 2, "lengths": [4, 2],
                                         "reverse": True, "steps": 4, "checkpoint": 2,
                                         "truncate": 3}),
    "unroll of a function": (rc.unroll, (cell, {}, X, np.zeros((2, 1))), {"memory": None}),
    "unroll without inputs": (rc.unroll, (rc.SaturatedRNN(2), rc.SaturatedRNN(2).init(0), None),
                              {"steps": 3}),
    "fold": (rc.fold, (TREE, R, T, WORDS), {"carry": (np.zeros((1, 4)),) * 2}),
    "fold of sums": (rc.fold, (rc.ChildSumTreeLSTM(3, 4), rc.ChildSumTreeLSTM(3, 4).init(0), T,
                               WORDS), {}),
    "top_down": (rc.top_down, (RNN, Q, T), {"xs": WORDS, "carry": np.zeros((1, 4))}),
    "top_down of nodes": (rc.top_down, (RNN, Q, T), {"nodes": np.ones((5, 3))}),
    "structure": (rc.structure, ([T],), {}), "roots": (rc.roots, ([T],), {}),
    "sweep": (rc.sweep, (rc.MDRNN(3, 4), rc.MDRNN(3, 4).init(0), np.ones((2, 2, 3))),
              {"reverse": (0,), "dims": 2}),
    "lattice": (rc.lattice, (ARCS,), {"scores": [1.0, 2.0, 3.0]}),
    "run_lattice": (rc.run_lattice, (RNN, Q, rc.lattice(ARCS), WORDS),
                    {"carry": np.zeros((1, 4))}),
    "a cell": (LSTM, (P, (np.zeros(4), np.zeros(4)), np.ones(3)), {}),
    "init": (LSTM.init, (0,), {}), "zero_state": (LSTM.zero_state, (np.float32,), {}),
    "stack": (rc.stack, (RNN, rc.RNN(4, 2)), {}), "layered": (rc.layered, (RNN, rc.RNN(4, 2)), {}),
    "deep_input": (rc.deep_input, (RNN, [2]), {}),
    "deep_transition": (rc.deep_transition, (RNN, [2]), {"shortcut": False}),
    "deep_output": (rc.deep_output, (RNN, [2]), {}),
    "over_time": (rc.over_time, (RNN,), {"reverse": True}),
    "bidirectional": (rc.bidirectional, (RNN,), {"backward_cell": RNN, "lookahead": 1}),
    "a bidirectional net": (rc.bidirectional(RNN), (rc.bidirectional(RNN).init(0), X),
                            {"lengths": [4, 2], "carry": (np.zeros((2, 4)),) * 2}),
    "a net that looks ahead": (rc.bidirectional(RNN, lookahead=1),
                               (rc.bidirectional(RNN).init(0), X), {"lengths": [4, 2]}),
    "layered net": (rc.layered(RNN), (rc.layered(RNN).init(0), X), {"carry": (None,)}),
    "TimeDelay": (rc.TimeDelay(3, 4, 2), (rc.TimeDelay(3, 4, 2).init(0), X), {"lengths": [4, 1]}),
    "Unshared": (rc.Unshared(RNN, 4), (rc.Unshared(RNN, 4).init(0), X), {"lengths": [4, 1]}),
    "Multidirectional": (rc.Multidirectional, (rc.MDRNN(3, 4),), {}),
    "dynamical_system": (rc.dynamical_system, ([lambda p, s, a: s],), {}),
    "a system": (rc.dynamical_system(lambda p, s, a: s + a), ([1.0, 2.0], np.ones(2)),
                 {"actions": [1.0, 2.0]}),
    # patterns, losses, decoding
    "ManyToMany": (rc.ManyToMany, (RNN, 2), {"tokens": 5}),
    "ManyToOne": (rc.ManyToOne, (RNN, 2), {"tokens": 5, "pool": "mean"}),
    "OneToMany": (rc.OneToMany, (RNN, 2, 2), {"tokens": 5, "start": True, "every_step": True}),
    "many to many": (rc.ManyToMany(RNN, 2), (rc.ManyToMany(RNN, 2).init(0), X),
                     {"lengths": [4, 2], "carry": np.zeros((2, 4))}),
    "many tokens to one": (rc.ManyToOne(RNN, 2, tokens=5), (rc.ManyToOne(RNN, 2, 5).init(0), Y),
                           {"lengths": [4, 2]}),
    "one to many": (rc.OneToMany(RNN, 2, 2), (rc.OneToMany(RNN, 2, 2).init(0), np.ones((2, 2)), X),
                    {"lengths": [4, 2], "steps": 4}),
    "per_object": (rc.per_object, (rc.ManyToMany(RNN, 2), rc.ManyToMany(RNN, 2).init(0),
                                   np.ones((4, 2, 1, 3))), {"lengths": [[4], [2]]}),
    "cross_entropy": (rc.cross_entropy, (X, Y), {"lengths": [4, 2], "mask": Y > 0}),
    "tree_cross_entropy": (rc.tree_cross_entropy, (np.ones((5, 3)), [0, 1, 2, -1, 0]),
                           {"rows": [4]}),
    "mean_squared_error": (rc.mean_squared_error, (X, X), {"lengths": [4, 2], "observed": X > 0}),
    "perplexity": (rc.perplexity, (1.0,), {}), "bits": (rc.bits, (1.0,), {}),
    "within": (rc.within, (3, [1, 2], 2), {}),
    "with_mask": (rc.with_mask, (X, X[..., :1] > 0), {}),
    "dropout_masks": (rc.dropout_masks, (RNN, RNG, 2), {"inputs": 0.5, "state": 0.5}),
    "zoneout_masks": (rc.zoneout_masks, (RNN, RNG, 4, 2, 0.5), {"dtype": np.float32}),
    "Dropout": (rc.Dropout(RNN), (Q, np.zeros(4), (np.ones(3), {"x": np.ones(3),
                                                               "state": np.ones(4)})), {}),
    "tied_logits": (rc.tied_logits, (np.ones((5, 3)), X), {"bias": 0.0}),
    "ridge_readout": (rc.ridge_readout, (X, X), {"ridge": 0.1}),
    "attend": (rc.attend, (np.ones(4), "general", {"W": np.ones((4, 3))},
                           {"memory": WORDS, "mask": np.ones(3)}), {}),
    "encoder_decoder": (rc.encoder_decoder, (RNN, rc.RNN(7, 4)),
                        {"outputs": 3, "start": "tanh", "attention": "additive",
                         "attention_size": 2, "every_step": False}),
    "an encoder-decoder": (NET, (NP, S, Y), {"lengths": [3, 2], "target_lengths": [4, 0]}),
    "free": (NET.free, (NP, S, [1, 2], 3), {"lengths": [3, 1], "noise": np.zeros((3, 2, 5))}),
    "greedy": (rc.greedy, (NET, NP, S), {"first": 0, "end": 1, "steps": 2}),
    "sample": (rc.sample, (NET, NP, S), {"first": 0, "end": 1, "steps": 2, "rng": RNG,
                                         "temperature": 0.5}),
    "beam_search": (rc.beam_search, (NET, NP, S), {"first": 0, "end": 1, "steps": 2, "width": 2,
                                                   "length_penalty": 1.0}),
    # trees, parsing
    "Tree.parse": (rc.Tree.parse, (("a", "b"),), {}),
    "read_brackets": (rc.read_brackets, ("(1 a)",), {}),
    "read_conllu": (rc.read_conllu, ("1\ta\t_\t_\t_\t_\t0\troot\t_\t_",), {}),
    "binarise": (rc.binarise, (T,), {"collapse": True}),
    "parse": (rc.parse, (SCORING, SCORING.init(0), [WORDS]),
              {"words": [["a", "b", "c"]], "beam": 2, "gold": [T], "margin": 0.5}),
    "tree_scores": (rc.tree_scores, (SCORING, SCORING.init(0), T, WORDS), {}),
    "margin_loss": (rc.margin_loss, (SCORING, SCORING.init(0), T, T, WORDS, [1.0], 0.5), {}),
    "confusions": (rc.confusions, (SCORING, SCORING.init(0), [WORDS], [T], 0.5), {}),
    "greedy_loss": (rc.greedy_loss, (SCORING, SCORING.init(0), T, T, WORDS, WORDS, 0.5), {}),
    "wrong_brackets": (rc.wrong_brackets, ([T], [T]), {}),
    "bracket_f1": (rc.bracket_f1, ([T], [T]), {}),
    # data, files, weights of others
    "Vocabulary": (rc.Vocabulary, (["a", "b"],), {"least": 1, "most": 2, "unknown": "?",
                                                  "special": ["end"]}),
    "encode": (VOCABULARY.encode, (["a"],), {}), "decode": (VOCABULARY.decode, ([0, 1],), {}),
    "pad": (rc.pad, ([[1, 2], [3]],), {"fill": 0}),
    "batches": (rc.batches, ([[1, 2], [3]], 1), {"seed": 0, "buckets": True, "sort": True,
                                                     "progress": False}),
    "accuracy": (rc.accuracy, (Y, Y, [4, 3]), {"mask": Y > 0}),
    "confusion_matrix": (rc.confusion_matrix, (Y, Y, [4, 3]), {"mask": Y > 0, "classes": 2}),
    "f1": (rc.f1, (Y, Y, [4, 3]), {"mask": Y > 0, "classes": 2, "average": "macro"}),
    "read_csv": (rc.read_csv, ("series.csv",), {"columns": ["a"], "header": True, "delimiter": ",",
                                                "decimal": ".", "missing": ["-"]}),
    "from_torch": (rc.from_torch, (STATE,), {"prefix": "", "nonlinearity": "relu"}),
    "to_torch": (rc.to_torch, (RNN, Q), {"prefix": "", "bias": True}),
    "from_onnx": (rc.from_onnx, ("LSTM", ONNX), {"hidden_size": 4, "layout": 0, "clip": None,
                                                 "direction": "forward", "activations": None}),
    "to_onnx": (rc.to_onnx, (RNN, Q), {}),
    "TuringMachine": (rc.TuringMachine, ({("a", "b"): ("a", "b", "S")}, "a"), {"blank": " "}),
    "Turing run": (TURING.run, ("101",), {"steps": 5}),
    "TuringNet run": (rc.TuringNet(TURING).run, (["1"], 2), {}),
    "TuringNet encode": (rc.TuringNet(TURING).encode, ("1",), {}),
    "palindromes": (rc.palindromes, ("ab",), {}),
    "save": (mg.save, ("file", {"a": np.ones(2)}), {}), "load": (mg.load, ("file",), {}),
    "tensors": (mg.tensors, ({"a": np.ones(2)},), {}),
    # functions of graphs
    "evaluate": (mg.evaluate, (LOSS,), {}), "reference": (mg.reference, (LOSS,), {}),
    "block": (mg.block(lambda a, b: mg.multiply(a, b)), (x, y), {}),
    "vmap": (mg.vmap(lambda a, b: mg.multiply(a, b), in_axes=(0, 0)), (x, y), {}),
    "vmap's axes": (mg.vmap, (mg.sum,), {"in_axes": 0}),
    "unfold": (mg.unfold, (LOSS,), {"expand": True}),
    "function": (mg.function(lambda a, b: a * b), (np.ones(2), np.ones(2)), {}),
    "sgd": (mg.optim.sgd, (0.1,), {"momentum": 0.5}),
    "adam": (mg.optim.adam, (0.1,), {"beta1": 0.5, "beta2": 0.5, "eps": 1e-8}),
    "update": (ADAM.update, (PARAMS, PARAMS, ADAM.init(PARAMS)), {}),
    "adam's init": (ADAM.init, (PARAMS,), {}),
    "adamw": (mg.optim.adamw, (0.1,), {"weight_decay": 0.1, "mask": None}),
    "adamw's update": (
        mg.optim.adamw(mask={"w": True}).update, (PARAMS, PARAMS, ADAM.init(PARAMS)), {}
    ),
    "rmsprop": (mg.optim.rmsprop, (0.1,), {"decay": 0.5, "eps": 1e-8, "momentum": 0.5,
                                           "centered": True}),
    "adagrad": (mg.optim.adagrad, (0.1,), {"eps": 1e-8}),
    "accumulated": (mg.optim.accumulated, (ADAM, 2), {}),
    "accumulated's update": (
        mg.optim.accumulated(ADAM, 2).update,
        (PARAMS, PARAMS, mg.optim.accumulated(ADAM, 2).init(PARAMS)), {},
    ),
    "clip_by_global_norm": (mg.optim.clip_by_global_norm, (PARAMS, 1.0), {}),
    "cosine": (mg.optim.cosine, (0.1, 10), {"floor": 0.0}),
    "warmup": (mg.optim.warmup, (mg.optim.constant(0.1), 5), {}),
    "step_decay": (mg.optim.step_decay, (0.1, 5), {"factor": 0.5}),
    "scheduled": (mg.optim.scheduled, (mg.optim.adam, mg.optim.constant(0.1)), {}),
    "draw": (viz.draw, (LOSS,), {"view": "ops", "grad": LOSS, "wrt": x, "max_steps": 5}),
    "animate": (
        viz.animate, (LOSS,), {"view": "ops", "grad": LOSS, "wrt": x, "max_steps": 5, "pace": 1.0},
    ),
}  # fmt: skip


# likewise, for the functions of minigrad
W, ROWS = mg.asarray(np.ones((2, 2))), np.array([0, 1])
HS, _ = mg.recur(
    lambda p, h, x: (mg.tanh(h @ p), h), mg.Structure.chain(3), initial=np.ones((1, 2)), shared=W
)
L2 = mg.sum(HS)
OPS = {
    "grad": (mg.grad, (LOSS, x), {}), "vjp": (mg.vjp, (LOSS, x, 1.0), {}),
    "jvp": (mg.jvp, (LOSS, x, np.ones((2, 3))), {}),
    "jacobian": (mg.jacobian, (mg.sum(x * y, axis=0), x), {}),
    "hessian": (mg.hessian, (LOSS, x), {}), "hvp": (mg.hvp, (LOSS, x, x), {}),
    "stop_gradient": (mg.stop_gradient, (x,), {}),
    "contributions": (mg.contributions, (L2, W), {}),
    "state_gradients": (mg.state_gradients, (L2, HS), {}), "expr": (mg.expr, (LOSS,), {}),
    "latex": (mg.latex, (LOSS,), {}), "what block takes": (mg.block, (lambda a: a,), {}),
    "what function takes": (mg.function, (lambda a: a,), {"nan_check": True}),
    "primitive": (mg.primitive, ("my_op",),
        {"shape": lambda a: (a.shape, a.dtype), "numpy": np.tanh, "vjp": lambda g, y, a: (g,),
         "kind": "elementwise", "scalar": None}),
    "asarray": (mg.asarray, ([1.0],), {"dtype": np.float32, "name": "a"}),
    "astype": (mg.astype, (x, np.float32), {}), "reshape": (mg.reshape, (x, (3, 2)), {}),
    "permute_dims": (mg.permute_dims, (x, (1, 0)), {}),
    "squeeze": (mg.squeeze, (mg.ones((1, 2)), 0), {}), "flip": (mg.flip, (x,), {"axis": 0}),
    "roll": (mg.roll, (x, 1), {"axis": 0}), "tile": (mg.tile, (x, (2, 1)), {}),
    "repeat": (mg.repeat, (x, 2), {"axis": 0}),
    "pad": (mg.pad, (x, ((1, 1), (0, 0))), {"mode": "edge", "constant_values": 0}),
    "moveaxis": (mg.moveaxis, (x, 0, 1), {}), "split": (mg.split, (x, 3), {"axis": 1}),
    "unstack": (mg.unstack, (x,), {"axis": 0}),
    "meshgrid": (mg.meshgrid, (np.ones(2), np.ones(3)), {"indexing": "ij"}),
    "diagonal": (mg.diagonal, (x,), {"offset": 0}), "tril": (mg.tril, (x,), {"k": 0}),
    "triu": (mg.triu, (x,), {"k": 0}), "trace": (mg.trace, (x,), {"offset": 0}),
    "diff": (mg.diff, (x,), {"axis": 0, "n": 1}), "cross": (mg.cross, (x, x), {"axis": -1}),
    "sum": (mg.sum, (x,), {"axis": 0, "keepdims": True, "dtype": np.float32}),
    "mean": (mg.mean, (x,), {"axis": 0, "keepdims": True}),
    "max": (mg.max, (x,), {"axis": 0, "keepdims": True}),
    "std": (mg.std, (x,), {"axis": 0, "correction": 1}),
    "var": (mg.var, (x,), {"axis": (0, 1), "correction": 0.5}),
    "prod": (mg.prod, (x,), {"axis": 0}),
    "argmax": (mg.argmax, (x,), {"axis": 0, "keepdims": True}),
    "any": (mg.any, (x > 0,), {"axis": 0}),
    "cumulative_sum": (mg.cumulative_sum, (x,), {"axis": 0, "include_initial": True}),
    "cumulative_prod": (mg.cumulative_prod, (x,), {"axis": 0}),
    "logsumexp": (mg.logsumexp, (x,), {"axis": 0}), "softmax": (mg.softmax, (x,), {"axis": 0}),
    "norm": (mg.norm, (x,), {"axis": 0}),
    "sort": (mg.sort, (x,), {"axis": 0, "descending": True, "stable": True}),
    "argsort": (mg.argsort, (x,), {"axis": 0}),
    "searchsorted": (mg.searchsorted, (np.ones(3), np.ones(2)), {"side": "left", "sorter": None}),
    "take": (mg.take, (x, ROWS), {"axis": 0}),
    "take_along_axis": (mg.take_along_axis, (x, np.zeros((2, 1), int)), {"axis": 1}),
    "scatter": (mg.scatter, (x, ROWS, 3), {}),
    "checked": (mg.checked, (ROWS, 0, 5), {"what": "x", "error": "ValueError"}),
    "where": (mg.where, (x > 0, x, y), {}), "clip": (mg.clip, (x,), {"min": 0.0, "max": 1.0}),
    "einsum": (mg.einsum, ("ij,ij->i", x, y), {}),
    "tensordot": (mg.tensordot, (x, y), {"axes": ((0,), (0,))}),
    "matmul": (mg.matmul, (x, np.ones((3, 2))), {}), "vecdot": (mg.vecdot, (x, y), {"axis": 0}),
    "outer": (mg.outer, (np.ones(2), np.ones(3)), {}),
    "concat": (mg.concat, ([x, y],), {"axis": 0}), "stack": (mg.stack, ([x, y],), {"axis": 0}),
    "expand_dims": (mg.expand_dims, (x,), {"axis": 0}),
    "broadcast_to": (mg.broadcast_to, (x, (2, 2, 3)), {}),
    "broadcast_arrays": (mg.broadcast_arrays, (x, np.ones(3)), {}),
    "cross_entropy": (mg.cross_entropy, (x, ROWS), {}), "round": (mg.round, (x,), {}),
    "nan_to_num": (mg.nan_to_num, (x,), {"nan": 0.0, "posinf": 1.0, "neginf": 1.0}),
    "pow": (mg.pow, (x, 2), {}), "gelu": (mg.gelu, (x,), {}),
    "count_nonzero": (mg.count_nonzero, (x,), {"axis": 0}),
    "full": (mg.full, ((2,), 1.0), {"dtype": np.float32}),
    "full_like": (mg.full_like, (x, 1.0), {"dtype": np.float32}),
    "linspace": (mg.linspace, (0, 1, 3), {"endpoint": True, "dtype": np.float32}),
    "arange": (mg.arange, (0, 3, 1), {"dtype": np.int32}),
    "eye": (mg.eye, (2, 3), {"k": 1, "dtype": np.float32}),
    "zeros": (mg.zeros, ((2, 3),), {"dtype": np.float32, "device": None}),
    "result_type": (mg.result_type, (x, np.float32), {}),
    "isdtype": (mg.isdtype, (np.float32, "integral"), {}), "named": (x.named, ("n",), {}),
    "to_device": (x.to_device, ("cpu",), {}),
    "t[key]": (x.__getitem__, (0,), {}),
}  # fmt: skip
CALLS |= {f"mg.{name}": call for name, call in OPS.items()}
L, SQUARE = mg.linalg, np.array([[2.0, 1.0], [1.0, 3.0]])
MATRICES = {
    "inv": (L.inv, (SQUARE,), {}), "det": (L.det, (SQUARE,), {}),
    "slogdet": (L.slogdet, (SQUARE,), {}), "solve": (L.solve, (SQUARE, SQUARE), {}),
    "solve_triangular": (L.solve_triangular, (SQUARE, np.ones(2)), {"upper": True,
                                                                    "unit_diagonal": True}),
    "matrix_power": (L.matrix_power, (SQUARE, 2), {}),
    "cholesky": (L.cholesky, (SQUARE,), {"upper": True}), "eigh": (L.eigh, (SQUARE,), {}),
    "qr": (L.qr, (x,), {"mode": "complete"}), "svd": (L.svd, (x,), {"full_matrices": False}),
    "matrix_norm": (L.matrix_norm, (x,), {"keepdims": True, "ord": 2}),
    "vector_norm": (L.vector_norm, (x,), {"axis": 0, "keepdims": True, "ord": 2}),
    "matrix_rank": (L.matrix_rank, (x,), {"rtol": 0.1}), "pinv": (L.pinv, (x,), {"rtol": 0.1}),
    "lstsq": (L.lstsq, (x, np.ones(2)), {"rtol": 0.1}), "expm": (L.expm, (SQUARE,), {}),
}  # fmt: skip
CALLS |= {f"linalg.{name}": call for name, call in MATRICES.items()}


# What is no finding, and why: (call, what the error says)
ALLOWED = [
    # a function handed over is the user's own, and what is raised in it is theirs to see
    (r"^(recur|run_lattice|per_object|a system|function)$", ""),
    (r"^(unroll.*|fold|top_down)$", "len() takes exactly one argument"),
    # a shipped cell is a function for one node: called by hand, its arithmetic speaks for itself
    (r"^(a cell|Dropout)$", ""),
]


def _allowed(finding):
    about = finding.function, finding.error
    return any(re.search(name, about[0]) and what in about[1] for name, what in ALLOWED)


def _found(functions, examples=None):
    found = surface.explore(functions, examples, ours=OURS)
    return [f for f in found if not _allowed(f)]


@pytest.mark.parametrize("name", CALLS)
def test_every_argument_exchanged_for_a_wrong_one(name):
    f, args, kwargs = CALLS[name]
    if name not in ("load", "read_csv"):  # their files are only there once they are written
        f(*args, **kwargs)
    found = _found({name: f}, {name: (args, kwargs)})
    assert not found, "\n" + "\n".join(map(str, found))


@pytest.mark.parametrize("module", [mg, rc, mg.optim, mg.linalg], ids=lambda m: m.__name__)
def test_every_function_of_a_module(module):
    found = _found(surface.public(module))
    assert not found, "\n" + "\n".join(map(str, found))


def test_no_function_is_left_out():
    """Every public function of `recurrent` that is no class of cells has an example."""
    called = {getattr(f, "__name__", "") for f, _, _ in CALLS.values()}
    exempt = {"onnx_node", "binary_increment"}  # a NodeProto of another package; no arguments
    for name in dir(rc):
        f = getattr(rc, name)
        if name[0] != "_" and callable(f) and not isinstance(f, type) and name not in exempt:
            assert name in called, f"rc.{name} has no example"


# -- the tool itself -------------------------------------------------------------------------------


def raises(error):
    raise error


def tried(f, *args, **kwargs):
    return surface.explore({"f": f}, {"f": (args, kwargs)}, ours=("tests",))


def test_an_error_out_of_numpy_or_python_is_found():
    for f in (lambda x: np.zeros(x), lambda x: x.shape, lambda x: {}[x], lambda x: [][x]):
        found = tried(f, 3)
        assert found and all(".test_surface:" in one.place for one in found)
        assert "argument 0 is" in str(found[0])


def test_an_error_in_words_is_none():
    assert not tried(lambda x: raises(ValueError("f: x must be 3")), 3)
    assert not tried(lambda x, *, y: raises(TypeError("f: x must be 3")), 3, y=1)
    assert tried(lambda x: raises(KeyError("x")), 3)  # no kind of error that a call may have
    assert not tried(lambda x: x, 3)


def test_a_call_that_hangs_is_found():
    def f(x):
        while x is None:
            pass

    found = surface.explore({"f": f}, {"f": ((3,), {})}, ours=("tests",), limit=0.05)
    assert [one.error for one in found] == ["no answer within 0.05 seconds"]
