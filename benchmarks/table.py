"""All rows, in the order of the table, and what each must reach (times as long as ours)."""

from __future__ import annotations

from . import plain, sequences
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
    return {**SIZES[size], **more}


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


TAGGER = sized("M", tokens=1000)

ROWS: tuple[Row, ...] = (
    language_model("S", 65, 6.0, jax=3.0),
    language_model("M", 65, 1.5),
    language_model("L", 10_000, 1.2),
    many_to_one(new=True),
    many_to_one(new=False),
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
)  # fmt: skip
