"""What recurrent nets can compute: a saturated-linear RNN that runs a Turing machine, exactly.

The construction is that of Siegelmann and Sontag 1995.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg

from .cells import Cell, Params
from .options import listed, shown, size
from .sequences import unroll

__all__ = ["SaturatedRNN", "TuringMachine", "TuringNet", "binary_increment", "palindromes"]

Move = tuple[str, str, str]  # next state, written symbol, "L", "R" or "S"


class SaturatedRNN(Cell):
    """h' = s(h U + b) with s(x) = 0 below 0, x, 1 above 1; y = h' (Siegelmann and Sontag 1995).

    It has no input (xs=None); state and y (..., H), parameters U (H, H) and b (H,).

    Raises ValueError for a size that is no positive integer.
    """

    name = "saturated RNN"
    reads_input = False

    def __init__(self, hidden_size: int) -> None:
        super().__init__(1, hidden_size)

    def __repr__(self) -> str:
        return f"SaturatedRNN({self.hidden_size})"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"U": (self.hidden_size, self.hidden_size), "b": (self.hidden_size,)}

    def __call__(self, params: Params, carry: Any, x: Any = None) -> tuple[Any, Any]:
        h = mg.clip(carry @ params["U"] + params["b"], 0, 1).named("h")
        return h, h


def _tape(who: str, given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"{who}: a tape is a text, a letter for each cell; got {shown(given)}")
    return given


@dataclass(frozen=True)
class TuringMachine:
    """One tape, one head (Turing 1936).

    moves : (state, symbol) -> (next state, symbol to write, "L", "R" or "S" to stay).
            Where there is no entry the machine has halted.
    start : the first state; the head begins at the first symbol of the tape.
    blank : what stands on the rest of the tape.

    Raises TypeError for moves that are no dict or a start that is no text,
    ValueError for a move of another form, or a blank that is not one symbol.
    """

    moves: Mapping[tuple[str, str], Move]
    start: str
    blank: str = " "

    def __post_init__(self) -> None:
        if not isinstance(self.moves, Mapping) or not isinstance(self.start, str):
            raise TypeError(
                "TuringMachine: moves must be a dict, start the name of a state; got "
                f"{shown(self.moves)} and {shown(self.start)}"
            )
        if not isinstance(self.blank, str) or len(self.blank) != 1:
            raise ValueError(f"TuringMachine: blank must be one symbol; got {shown(self.blank)}")
        for key, move in self.moves.items():
            pair = isinstance(key, tuple) and len(key) == 2
            triple = isinstance(move, (tuple, list)) and len(move) == 3
            if not pair or not triple or move[2] not in ("L", "R", "S"):
                raise ValueError(
                    "TuringMachine: moves must map (state, symbol) to (state, symbol, 'L', 'R' or "
                    f"'S'); got {key!r}: {move!r}"
                )

    @property
    def states(self) -> list[str]:
        used = [s for (now, _), (then, _, _) in self.moves.items() for s in (now, then)]
        return list(dict.fromkeys([self.start, *used]))

    @property
    def symbols(self) -> list[str]:
        """The blank first."""
        used = [s for (_, a), (_, b, _) in self.moves.items() for s in (a, b)]
        return list(dict.fromkeys([self.blank, *used]))

    def run(self, tape: str, steps: int = 10_000) -> tuple[str, str]:
        """The state and the tape (without blanks around it) after at most `steps` moves.

        Raises TypeError for a tape that is no text, ValueError for no number of steps.
        """
        tape, steps = _tape("TuringMachine", tape), size("TuringMachine", "steps", steps, 0)
        cells, at, state = dict(enumerate(tape)), 0, self.start
        for _ in range(steps):
            move = self.moves.get((state, cells.get(at, self.blank)))
            if move is None:
                break
            state, cells[at], way = move
            at += {"L": -1, "S": 0, "R": 1}[way]
        places = range(min(cells, default=0), max(cells, default=-1) + 1)
        return state, "".join(cells.get(k, self.blank) for k in places).strip(self.blank)


class TuringNet:
    """The weights of a `SaturatedRNN` that makes one move of a machine in every three steps.

    The construction is after Siegelmann and Sontag 1995.
    A tape is two stacks, left of the head and from the head on.
    A stack with the symbols a_1, a_2, ... from the top is the number sum_i (2 a_i + 1) / B^i,
    B the next power of two from twice the number of symbols on (4 for two symbols, 8 with a blank):
    a Cantor set whose gaps let the saturated line read the top exactly, [top >= k] = s(B q - 2 k).
    In turn the units hold

        1  the state (one unit each) and the stacks, each as a sum of three units, one per direction
        2  the same with the top of both stacks, as thresholds
        3  one unit per (state, symbol): the move to make; both stacks, and both popped

    Everything is a sum of powers of two: float64 is exact for `capacity` symbols a stack.

    Raises TypeError for what is no `TuringMachine`.
    """

    def __init__(self, machine: TuringMachine) -> None:
        if not isinstance(machine, TuringMachine):
            raise TypeError(f"TuringNet: needs a TuringMachine; got {shown(machine)}")
        self.machine = machine
        self.states, self.symbols = machine.states, machine.symbols
        m = len(self.symbols)
        self.base = 1 << (2 * m - 1).bit_length()
        self.bits = self.base.bit_length() - 1
        self.capacity = 52 // self.bits - 1  # one more is exact, and is noticed
        tops = [f"{side} >= {k}" for side in "lr" for k in range(1, m)]
        stacks = [f"{side}{way}" for side in "lr" for way in "LRS"]
        self.units: list[tuple[str, Any]] = [
            *(("state", s) for s in self.states), *(("stack", s) for s in stacks),
            *(("held", s) for s in self.states), *(("read", v) for v in ["l", "r", *tops]),
            *(("move", (s, a)) for s in self.states for a in self.symbols),
            *(("kept", v) for v in ["l", "l popped", "r popped", *tops[: m - 1]]),
        ]  # fmt: skip
        self.number = {unit: k for k, unit in enumerate(self.units)}
        self.cell = SaturatedRNN(len(self.units))

    def params(self) -> Params:
        """{"U": ..., "b": zeros}: nothing is learnt."""
        n, base, m = self.number, self.base, len(self.symbols)
        u = np.zeros((len(n), len(n)))

        def wire(target: tuple, sources: Iterable[tuple[tuple, float]]) -> None:
            for source, weight in sources:
                u[n[source], n[target]] += weight

        def one(kind: str) -> list[tuple[str, Any]]:
            # exactly one of these units is 1: a bias with a clock
            return [unit for unit in self.units if unit[0] == kind]

        for s in self.states:
            wire(("held", s), [(("state", s), 1)])
        for side in "lr":
            parts = [("stack", side + way) for way in "LRS"]
            wire(("read", side), [(v, 1) for v in parts])
            for k in range(1, m):
                top = ("read", f"{side} >= {k}")
                wire(top, [*((v, base) for v in parts), *((v, -2 * k) for v in one("state"))])

        for s in self.states:
            for a, symbol in enumerate(self.symbols):
                move = ("move", (s, symbol))
                wire(move, [(("held", s), 1)])
                if a > 0:
                    wire(move, [(("read", f"r >= {a}"), 1), *((v, -1) for v in one("held"))])
                if a + 1 < m:
                    wire(move, [(("read", f"r >= {a + 1}"), -1)])
        wire(("kept", "l"), [(("read", "l"), 1)])
        for side in "lr":
            tops = [("read", f"{side} >= {k}") for k in range(1, m)]
            popped: list[tuple[tuple, float]] = [(("read", side), base), *((v, -2) for v in tops)]
            wire(("kept", f"{side} popped"), [*popped, *((v, -1) for v in one("held"))])
        for k in range(1, m):
            wire(("kept", f"l >= {k}"), [(("read", f"l >= {k}"), 1)])

        wire(("stack", "lR"), [(("kept", "l"), 1 / base)])
        wire(("stack", "lL"), [(("kept", "l popped"), 1)])
        wire(("stack", "lS"), [(("kept", "l"), 1)])
        wire(("stack", "rR"), [(("kept", "r popped"), 1)])
        left_top = [(("kept", f"l >= {k}"), 2 / base) for k in range(1, m)]
        wire(("stack", "rL"), [(("kept", "r popped"), base**-2), *left_top])
        wire(("stack", "rS"), [(("kept", "r popped"), 1 / base)])
        for _, (s, symbol) in one("move"):
            to, written, way = self.machine.moves.get((s, symbol), (s, symbol, "S"))
            digit = (2 * self.symbols.index(written) + 1) / base
            wire(("state", to), [(("move", (s, symbol)), 1)])
            pushed = {"lR": digit, "rL": digit / base + 1 / base, "rS": digit}
            for stack in ("lL", "lR", "lS", "rL", "rR", "rS"):
                weight = pushed.get(stack, 0.0) if stack[1] == way else -1.0
                wire(("stack", stack), [(("move", (s, symbol)), weight)])
        return {"U": u, "b": np.zeros(len(n))}

    def encode(self, tape: str) -> np.ndarray:
        """(units,) float64: the net's state before the first move.

        Raises ValueError for a tape with an unknown symbol or more than `capacity`.
        """
        unknown = set(_tape("TuringNet", tape)) - set(self.symbols)
        if unknown or len(tape) > self.capacity:
            raise ValueError(
                f"TuringNet: tape must be at most {self.capacity} symbols out of "
                f"{''.join(self.symbols)!r}; got {len(tape)}: {tape[:40]!r}"
            )
        h = np.zeros(len(self.units))
        h[self.number["state", self.machine.start]] = 1
        digits = [2 * self.symbols.index(a) + 1 for a in tape]
        h[self.number["stack", "rS"]] = sum(d / self.base ** (k + 1) for k, d in enumerate(digits))
        return h

    def decode(self, h: np.ndarray) -> tuple[str, str]:
        """State and tape (without blanks around it) of a net's state after 0, 3, 6, ... steps.

        Raises ValueError for the state of a net between these.
        """
        on = [s for s in self.states if h[self.number["state", s]] == 1]
        left, right = (
            self._symbols(sum(h[self.number["stack", side + way]] for way in "LRS"))
            for side in "lr"
        )
        if len(on) != 1:
            raise ValueError("TuringNet: not the state of a net between two moves")
        return on[0], "".join([*left[::-1], *right]).strip(self.machine.blank)

    def _symbols(self, stack: float) -> list[str]:
        found: list[str] = []
        while stack:
            digit = int(stack * self.base)
            stack = stack * self.base - digit
            found.append(self.symbols[digit // 2])
        return found

    def run(self, tapes: list[str], moves: int) -> list[tuple[str, str]]:
        """State and tape of each machine after `moves` moves (halted ones stand still).

        All tapes run in one batch: one unrolled RNN.

        Raises OverflowError when a machine wrote more than `capacity` symbols
        on one side of its head, which a float64 does not hold;
        ValueError for a tape that cannot be encoded, or no tapes.
        """
        tapes = listed("TuringNet", "tapes", tapes, "texts")
        moves = size("TuringNet", "moves", moves, 0)
        if not tapes:
            raise ValueError("TuringNet: there are no tapes")
        start = np.stack([self.encode(t) for t in tapes])
        last, hs = unroll(self.cell, self.params(), None, start, steps=3 * moves)
        last, hs = mg.evaluate((last, hs))
        stacks = hs[2::3, :, [k for k, unit in enumerate(self.units) if unit[0] == "stack"]]
        full = (np.ldexp(stacks, 52) % 2.0 ** (52 - self.bits * self.capacity) != 0).any((0, 2))
        if full.any():
            raise OverflowError(
                f"TuringNet: on tape {tapes[int(full.argmax())]!r} the machine wrote more than "
                f"{self.capacity} symbols on one side of its head; a float64 holds no more"
            )
        return [self.decode(h) for h in last]


def binary_increment() -> TuringMachine:
    """Adds 1 to a binary number, most significant digit first; halts in "done".

    Raises nothing: it takes no arguments.
    """
    return TuringMachine(
        {
            ("right", "0"): ("right", "0", "R"), ("right", "1"): ("right", "1", "R"),
            ("right", " "): ("carry", " ", "L"), ("carry", "1"): ("carry", "0", "L"),
            ("carry", "0"): ("done", "1", "S"), ("carry", " "): ("done", "1", "S"),
        },
        "right",
    )  # fmt: skip


def palindromes(alphabet: str = "ab") -> TuringMachine:
    """Halts in "yes" when the tape reads the same backwards, else in "no".

    The first letter is wiped out and compared with the last, again and again.

    Raises TypeError for an alphabet that is no text.
    """
    if not isinstance(alphabet, str):
        raise TypeError(f"palindromes: alphabet must be a text; got {shown(alphabet)}")
    moves: dict[tuple[str, str], Move] = {("first", " "): ("yes", " ", "S")}
    moves["back", " "] = ("first", " ", "R")
    for a in alphabet:
        moves["first", a] = (f"saw {a}", " ", "R")
        moves[f"saw {a}", " "] = (f"want {a}", " ", "L")
        moves[f"want {a}", " "] = ("yes", " ", "S")
        moves["back", a] = ("back", a, "L")
        for b in alphabet:
            moves[f"saw {a}", b] = (f"saw {a}", b, "R")
            moves[f"want {a}", b] = ("back", " ", "L") if a == b else ("no", b, "S")
    return TuringMachine(moves, "first")
