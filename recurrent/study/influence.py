"""Online algorithms: what is carried forward in place of the influence d s_t / d theta.

Real-time recurrent learning (Williams and Zipser 1989) carries it whole,

    M_t = J_t M_(t-1) + I_t,    J_t = d s_t / d s_(t-1),   I_t = d s_t / d theta  (s_(t-1) held),

and a loss at step t adds  dL_t/dy_t (dy_t/ds_(t-1) M_(t-1) + dy_t/d theta).
The others carry less: a mask of it, what passes no weights, a random product of small factors.
Each is a class with the same methods, met by name in `ONLINE`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from ..options import array
from .propagation import _rewritten
from .steps import Steps, vector

__all__: list[str] = []


class Influence:
    """RTRL: the influence as it is, (B, S, P) numbers.  Exact."""

    what = "RTRL (Williams and Zipser 1989): the whole influence, S x P numbers"
    exact, random = True, False

    def __init__(self, steps: Steps, rng: np.random.Generator, **options: Any):
        self.steps, self.rng = steps, rng
        self.begin(**options)

    def begin(self) -> None:
        s = self.steps
        self.m = np.zeros((s.batch, s.size, s.theta.size))

    def term(
        self, t: int, c: np.ndarray, j: dict[str, np.ndarray], i: tuple[np.ndarray, np.ndarray],
        read: np.ndarray | None,
    ) -> np.ndarray:  # fmt: skip
        """What the loss of step t adds to the gradient, (P,); the influence is then that of t.

        c    : (B, Y), dL_t/dy_t.
        j    : by the state before, "ss" (B, S, S) and "ys" (B, Y, S).
        i    : by the parameters, that state held: of the state (B, S, P), of the output (B, Y, P).
        read : `read_from_state`.
        """
        if read is None:  # an output of its own: through the state before, and its own parameters
            left = np.einsum("by,bys->bs", c, j["ys"])
            total = self.along(left) + np.einsum("by,byp->p", c, i[1])
            self.advance(t, j["ss"], i[0])
            return total
        self.advance(t, j["ss"], i[0])
        return self.along(on_state(c, read, self.steps.size))

    def advance(self, t: int, j: np.ndarray, i: np.ndarray) -> None:
        """Behind step t, whose Jacobians are j (B, S, S) and i (B, S, P)."""
        self.m = j @ self.m + i

    def along(self, left: np.ndarray) -> np.ndarray:
        """left (B, S) times the influence, (P,)."""
        return np.einsum("bs,bsp->p", left, self.m)

    @property
    def numbers(self) -> int:
        """How many it carries."""
        return self.m.size


class Masked(Influence):
    """SnAp-n: only influences that n steps can bring about."""

    what = "SnAp-n (Menick et al. 2021): the influence where n steps reach, else 0"
    exact = False

    def begin(self, n: int = 1) -> None:
        if n < 1:
            raise ValueError(f"gradient: snap: n must be at least 1; got {n}")
        super().begin()
        own, through = patterns(self.steps)
        self.mask = own
        for _ in range(n - 1):
            self.mask = (through.astype(np.int64) @ self.mask.astype(np.int64) > 0) | own

    def advance(self, t: int, j: np.ndarray, i: np.ndarray) -> None:
        self.m = (j @ self.m + i) * self.mask

    @property
    def numbers(self) -> int:
        return int(self.mask.sum()) * self.steps.batch


class Traces(Influence):
    """e-prop: eligibility traces, through what a state's part does to itself."""

    what = "e-prop (Bellec et al. 2020): traces along what passes no product with weights"
    exact = False

    def advance(self, t: int, j: np.ndarray, i: np.ndarray) -> None:
        self.m = own_jacobian(self.steps, t) @ self.m + i

    @property
    def numbers(self) -> int:
        return int(np.count_nonzero(self.m))


class Feedback(Traces):
    """RFLO: e-prop's traces (of leaky units, the two are one), and the error by random weights.

    Random feedback local online learning (Murray 2019):
    the slope of the loss by the outputs reaches the state by fixed random weights,
    not by the readout's transposed ones.
    """

    what = (
        "RFLO (Murray 2019): traces as e-prop's; errors reach the state by fixed random weights, "
        'or by feedback= an array (Y, S), or "exact"'
    )
    exact, random = False, True

    def begin(self, feedback: Any = "random") -> None:
        super().begin()
        if isinstance(feedback, str) and feedback not in ("random", "exact"):
            raise ValueError(
                'gradient: rflo: feedback must be "random", "exact" or an array (Y, S); got '
                f"{feedback!r}"
            )
        if not isinstance(feedback, str):
            feedback = np.asarray(array("gradient: rflo", "feedback", feedback), float)
        self.feedback: str | np.ndarray = feedback

    def term(
        self, t: int, c: np.ndarray, j: dict[str, np.ndarray], i: tuple[np.ndarray, np.ndarray],
        read: np.ndarray | None,
    ) -> np.ndarray:  # fmt: skip
        if isinstance(self.feedback, str) and self.feedback == "exact":
            return super().term(t, c, j, i, read)
        shape = (c.shape[1], self.steps.size)
        if isinstance(self.feedback, str):
            self.feedback = self.rng.standard_normal(shape) / np.sqrt(self.steps.size)
        back = np.asarray(self.feedback)
        if back.shape != shape:
            raise ValueError(
                f"gradient: rflo: feedback must be {shape}, outputs by states; got {back.shape}"
            )
        self.advance(t, j["ss"], i[0])
        total = self.along(c @ back)
        if read is None:  # the readout's own parameters have no need of feedback
            total = total + np.einsum("by,byp->p", c, readout(self.steps, t))
        return total


class Immediate(Influence):
    """No influence of what was before: truncation after one step."""

    what = "immediate derivatives only: the state before a step counts as given"
    exact = False

    def advance(self, t: int, j: np.ndarray, i: np.ndarray) -> None:
        self.m = i

    @property
    def numbers(self) -> int:
        return int(np.count_nonzero(self.m))


class Uoro(Influence):
    """UORO: a random product of two vectors whose mean is the influence."""

    what = "UORO (Tallec and Ollivier 2018): the influence as a random product of two vectors"
    exact, random = False, True

    def begin(self) -> None:
        s = self.steps
        self.s, self.theta = np.zeros((s.batch, s.size)), np.zeros((s.batch, s.theta.size))

    def advance(self, t: int, j: np.ndarray, i: np.ndarray) -> None:
        signs = self.rng.choice([-1.0, 1.0], self.s.shape)
        pushed = (j @ self.s[..., None])[..., 0]
        drawn = np.einsum("bs,bsp->bp", signs, i)
        first = _balance(self.theta, pushed)
        second = _balance(drawn, signs)
        self.s = first * pushed + second * signs
        self.theta = self.theta / first + drawn / second

    def along(self, left: np.ndarray) -> np.ndarray:
        return np.einsum("bs,bs,bp->p", left, self.s, self.theta)

    @property
    def numbers(self) -> int:
        return self.s.size + self.theta.size


class Kronecker(Influence):
    """KF-RTRL: a random Kronecker product whose mean is the influence."""

    what = "KF-RTRL (Mujika, Meier and Steger 2018): the influence as a random Kronecker product"
    exact, random = False, True

    def begin(self) -> None:
        s = self.steps
        self.order = _affine(s)
        inputs = self.order.shape[0]
        self.u = np.zeros((s.batch, inputs))
        self.a = np.zeros((s.batch, s.size, self.order.shape[1]))

    def advance(self, t: int, j: np.ndarray, i: np.ndarray) -> None:
        z, d = _split(self.steps, t, i, self.order)
        signs = self.rng.choice([-1.0, 1.0], (2, self.steps.batch))
        pushed = j @ self.a
        first = _balance(pushed.reshape(len(pushed), -1), self.u)[:, 0]
        second = _balance(d.reshape(len(d), -1), z)[:, 0]
        p, q = signs[0] * first, signs[1] * second
        self.u = p[:, None] * self.u + q[:, None] * z
        self.a = pushed * (signs[0] / first)[:, None, None] + d * (signs[1] / second)[:, None, None]

    def along(self, left: np.ndarray) -> np.ndarray:
        flat = np.zeros(self.steps.theta.size)
        flat[self.order.reshape(-1)] = np.einsum(
            "bs,bi,bsh->ih", left, self.u, self.a
        ).reshape(-1)
        return flat

    @property
    def numbers(self) -> int:
        return self.u.size + self.a.size


ONLINE: dict[str, type[Influence]] = {
    "rtrl": Influence, "snap": Masked, "eprop": Traces, "rflo": Feedback, "uoro": Uoro,
    "kf-rtrl": Kronecker, "immediate": Immediate,
}  # fmt: skip


def _balance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """sqrt(|a| / |b|), (B, 1): what evens two factors out; 1 where one of them is 0."""
    top, below = (np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    fine = (top > 0) & (below > 0)
    return np.sqrt(np.divide(top, below, out=np.ones_like(top), where=fine))


# -- what a cell's step looks like -----------------------------------------------------------------


def patterns(steps: Steps, points: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Which parameters a part of the state reads itself (S, P), and which parts it reads (S, S)."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((points, steps.size))
    rows = steps.rows(0)
    xs = None if rows is None else pytrees.tree_map(
        lambda x: rng.standard_normal((points, *x.shape[1:])).astype(x.dtype)
        if x.dtype.kind == "f" else np.resize(x, (points, *x.shape[1:])), rows
    )  # fmt: skip
    anywhere = [  # no parameter is 0, as a bias may be
        rng.standard_normal(x.shape) for x in pytrees.tree_leaves(steps.params)
    ]
    params = pytrees.tree_unflatten(pytrees.tree_structure(steps.params), anywhere)

    def f(p: Any, s: Any, x: Any) -> Any:
        new, _ = steps.step(p, s, x)
        return mg.jacobian(new, p), mg.jacobian(new, s)

    by_theta, by_state = steps.mapped(f, states, xs, params)
    flat = [g.reshape(points, steps.size, -1) for g in pytrees.tree_leaves(by_theta)]
    return np.any(np.concatenate(flat, axis=-1) != 0, axis=0), np.any(by_state != 0, axis=0)


def own_jacobian(steps: Steps, t: int) -> np.ndarray:
    """(B, S, S): d s_t / d s_(t-1) along what passes no contraction (no product with weights)."""

    def f(p: Any, s: Any, x: Any) -> Any:
        cut = {"einsum": lambda y, xs, t: mg.stop_gradient(y)}
        return mg.jacobian(_rewritten(steps.step(p, s, x)[0], cut) + 0 * s, s)

    return steps.mapped(f, steps.ran[0][t], steps.rows(t))


def readout(steps: Steps, t: int) -> np.ndarray:
    """(B, Y, P): d y_t / d theta, the state that step t makes held."""

    def f(p: Any, s: Any, x: Any) -> Any:
        carry, y = steps.cell(p, steps.state(s), x)
        y = vector(y)
        behind = set(mg.nodes(y))
        held = {n: mg.stop_gradient(n) for n in pytrees.tree_leaves(carry) if n in behind}
        return mg.jacobian(mg.substitute(y, held) + 0 * y, p)

    found = steps.mapped(f, steps.ran[0][t], steps.rows(t))
    leaves = pytrees.tree_leaves(found)
    return np.concatenate([g.reshape(*g.shape[:2], -1) for g in leaves], axis=-1)


def _affine(steps: Steps) -> np.ndarray:
    """Numbers of the parameters (inputs, units): of W_g (I, H), U_g (H, H) and b_g (H,), all gates.

    Raises ValueError for a cell that is not made of x W + h U + b alone.
    """
    at, places = 0, {}
    for path, x in zip(
        pytrees.tree_paths(steps.params), pytrees.tree_leaves(steps.params), strict=True
    ):
        places[".".join(map(str, path))] = np.arange(at, at + x.size).reshape(x.shape)
        at += x.size
    gates = [name[1:] for name in places if name.startswith("b")]
    parts = [[places.pop(f"{k}{g}", None) for k in "WUb"] for g in gates]
    if places or not parts or any(p is None for row in parts for p in row):
        raise ValueError(
            "gradient: kf-rtrl needs a cell whose parameters are W_g, U_g and b_g of products "
            f"x W_g + h U_g + b_g; this one has {', '.join(places) or 'others'} besides"
        )
    columns = [np.concatenate([w, u, b[None]]) for w, u, b in parts]  # type: ignore[index]
    return np.concatenate(columns, axis=1)


def _split(
    steps: Steps, t: int, i: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The immediate influence as z (B, inputs) times d (B, S, units)."""
    by = i[:, :, order]  # (B, S, inputs, units)
    d = by[:, :, -1]  # the bias reads 1
    scale = np.sum(d * d, axis=(1, 2))
    z = np.einsum("bsiu,bsu->bi", by, d) / np.where(scale > 0, scale, 1)[:, None]
    if not np.allclose(by, z[:, None, :, None] * d[:, :, None], atol=1e-9 * (1 + np.abs(by).max())):
        raise ValueError(
            "gradient: kf-rtrl needs gates that all read the same x and h; those of this cell "
            "do not (a GRU's candidate reads r * h)"
        )
    return z, d


def on_state(c: np.ndarray, read: np.ndarray, size: int) -> np.ndarray:
    """(B, size): cotangents of outputs as those of the parts of the state that they are."""
    left = np.zeros((size, len(c)))
    np.add.at(left, read, c.T)
    return left.T


def read_from_state(steps: Steps) -> np.ndarray | None:
    """Where in the state each number of the output stands, if it is nothing but parts of that."""
    one = [mg.symbol("s", (steps.size,), dtype=steps.dtype)]
    row = steps.rows(0)
    x = None if row is None else pytrees.tree_map(lambda a: mg.asarray(a[0]), row)
    p = pytrees.tree_map(mg.asarray, steps.params)
    carry, y = steps.cell(p, steps.state(one[0]), x)
    at, places = 0, {}
    for leaf in pytrees.tree_leaves(carry):
        places[leaf] = np.arange(at, at + leaf.size)
        at += leaf.size
    found = [places.get(leaf) for leaf in pytrees.tree_leaves(y)]
    if any(f is None for f in found):
        return None
    return np.concatenate(found)  # type: ignore[arg-type]

