"""All rows, in the order of the table, and what each must reach (times as long as ours)."""

from __future__ import annotations

from . import attention, matrices, nodes, plain, sequences, trees
from .rows import Row, against

SIZES = {
    "S": {"time": 50, "batch": 1, "inputs": 32, "hidden": 32},
    "M": {"time": 100, "batch": 32, "inputs": 64, "hidden": 128},
    "L": {"time": 100, "batch": 64, "inputs": 512, "hidden": 512},
}
ALONE = {
    "LSTM": {"S": 10.0, "M": 1.35, "L": 1.4}, "GRU": {"S": 80.0, "M": 3.0},
    "RNN": {"S": 60.0, "M": 2.5},
}  # fmt: skip


def sized(size: str, **more: int) -> dict[str, int]:
    return SIZES[size] | more


def said(size: dict[str, int]) -> str:
    letters = {"time": "T", "batch": "B", "inputs": "I", "hidden": "H", "tokens": "V"}
    return " ".join(f"{letters[k]}={v:,}" for k, v in size.items() if k in letters)


def language_model(size: str, tokens: int, times: float, jax: float | None = None) -> Row:
    given = sized(size, tokens=tokens)
    targets = against("torch", times=times) + (against("JAX", times=jax) if jax else ())
    return Row(f"language model {size}", sequences.language_model, given, said(given), targets)


def many_to_one(new: bool) -> Row:
    given = sized("M", tokens=65)
    return Row(
        f"many-to-one M, {'new lengths' if new else 'seen before'}", sequences.many_to_one,
        {**given, "classes": 5, "new": new}, f"{said(given)}, 1 to T steps",
        against("torch packed", times=8.0) if new else (),
    )  # fmt: skip


def encoder_decoder(size: str, times: float) -> Row:
    given = {**sized(size, tokens=65), "time": 30}
    peers = against("torch loop", "torch traced", times=times)
    return Row(f"encoder-decoder {size}", attention.encoder_decoder, given,
               f"{said(given)}, additive attention", peers)  # fmt: skip


EACH = {"time": 200, "batch": 8, "inputs": 64, "hidden": 64}
MATRIX = {"time": 256, "batch": 4, "size": 32}
TAGGER = sized("M", tokens=1000)

ROWS: tuple[Row, ...] = (
    language_model("S", 65, 6.0, jax=3.0),
    language_model("M", 65, 1.5),
    language_model("L", 10_000, 1.2),
    many_to_one(new=True),
    many_to_one(new=False),
    encoder_decoder("S", 10.0),
    encoder_decoder("M", 3.0),
    Row("trees", trees.tree_lstm, {"trees": 100, "inputs": 300, "hidden": 150},
        "Tree-LSTM H=150, 100 new trees, cross-entropy at every node",
        against("torch recursion", times=35.0) + against("torch level-batched", times=2.0)),
    Row("bi-LSTM tagger M", sequences.tagger, {**TAGGER, "tags": 17},
        f"{said(TAGGER)}, dropout, masked loss", against("torch", times=2.0)),
    Row("MLP", plain.mlp, {"inputs": 256, "hidden": 256, "outputs": 10, "batch": 128},
        "256-256-10, B=128", against("torch", times=1.5)),
    Row("elementwise", plain.elementwise, {"size": 1_000_000},
        "10^6 numbers and the gradient", against("torch", times=3.0)),
    *(
        Row(f"{kind} alone {size}", sequences.cell_alone, {"kind": kind, **SIZES[size]},
            f"{said(SIZES[size])}, sum of squares, no Adam", against("torch", times=times))
        for kind, wanted in ALONE.items() for size, times in wanted.items()
    ),
    *(
        Row(f"peephole + layer norm {size}", sequences.peephole, SIZES[size],
            f"{said(SIZES[size])}, sum of squares, no Adam")
        for size in SIZES
    ),
    Row("DeltaNet", matrices.deltanet, MATRIX, "T=256 B=4 D=32", against("torch loop", times=20.0)),
    Row("Mamba", matrices.mamba, {**MATRIX, "states": 16}, "T=256 B=4 D=32 N=16",
        against("torch loop", times=20.0)),
    Row("Python loop S", nodes.python_loop, sized("S", time=100), "T=100 B=1 I=32 H=32, no Adam",
        against("unroll", times=1 / 1.5)),
    Row("contributions", nodes.contributions, EACH, f"{said(EACH)}, of the recurrent weights",
        against("torch vmapped", times=3.0)),
    Row("contributions, norms only", nodes.contribution_norms, EACH, said(EACH),
        against("one gradient", times=0.5)),
)  # fmt: skip
