"""What constructors and functions are given, checked in one place: sizes, choices, lengths, ...

Each check returns the value in the type that is worked with,
or raises an error that names the function, the argument and what was expected:
TypeError for something of the wrong kind, ValueError for a value that does not fit
(a size of the wrong kind is a ValueError as well).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

import minigrad as mg


def shown(given: Any) -> str:
    """What an error says that it got: short, whatever it is."""
    if isinstance(given, mg.Tensor):
        return f"a Tensor of shape {given.shape}"
    if isinstance(given, np.ndarray):
        return f"an array of shape {given.shape}"
    if isinstance(given, (list, tuple, dict, set, frozenset)):
        return f"a {type(given).__name__} of {len(given)}"
    try:
        text = repr(given)
    except Exception:  # a repr of the user's own
        text = f"a {type(given).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def whole(given: Any) -> bool:
    """Whether something is an integer; True is none."""
    return isinstance(given, (int, np.integer)) and not isinstance(given, bool)


def size(who: str, what: str, given: Any, least: int = 1, kind: str = "") -> int:
    """An integer, at least `least`; True and 2.0 are none, nor is what no memory holds.

    kind : that in other words.
    """
    if not whole(given) or not least <= given < 2**40:
        kind = kind or ("a positive integer" if least == 1 else f"an integer of at least {least}")
        raise ValueError(f"{who}: {what} must be {kind}; got {shown(given)}")
    return int(given)


def sizes(who: str, **given: Any) -> None:
    """Several positive integers."""
    for what, one in given.items():
        size(who, what, one)


def seed(who: str, given: Any) -> int:
    """The seed of a random generator."""
    if not whole(given) or given < 0:
        raise ValueError(f"{who}: seed must be an integer of at least 0; got {shown(given)}")
    return int(given)


def generator(who: str, given: Any) -> np.random.Generator:
    if not isinstance(given, np.random.Generator):
        raise TypeError(
            f"{who}: rng must be a generator, np.random.default_rng(0); got {shown(given)}"
        )
    return given


def dtype(who: str, given: Any) -> np.dtype:
    """A floating-point dtype."""
    try:
        found = np.dtype(given)
    except (TypeError, ValueError, RecursionError):
        found = np.dtype(object)
    if given is None or found.kind != "f" or found.itemsize > 8:
        raise ValueError(
            f"{who}: dtype must be a floating-point dtype of at most 64 bits, float64 or float32; "
            f"got {shown(given)}"
        )
    return found


def number(who: str, what: str, given: Any, fits: Callable[[float], bool], kind: str) -> float:
    """A finite real number for which `fits` holds; `kind` says in words which do."""
    real = isinstance(given, (int, float, np.integer, np.floating)) and not isinstance(given, bool)
    if not real or abs(given) == np.inf or given != given or not fits(given):
        raise ValueError(f"{who}: {what} must be {kind}; got {shown(given)}")
    return float(given)


def choice(who: str, what: str, given: Any, allowed: tuple[Any, ...]) -> Any:
    """`given`, one of `allowed`, or a ValueError that lists what there is."""
    if not isinstance(given, (str, type(None))) or given not in allowed:
        names = ", ".join(map(repr, allowed[:-1])) + f" or {allowed[-1]!r}"
        raise ValueError(f"{who}: {what} must be {names}; got {shown(given)}")
    return given


def flag(who: str, what: str, given: Any) -> bool:
    if not isinstance(given, (bool, np.bool_)):
        raise ValueError(f"{who}: {what} must be True or False; got {shown(given)}")
    return bool(given)


def listed(who: str, what: str, given: Any, of: str = "values") -> list[Any]:
    """The entries of a list or another iterable; text, a dict and what is no iterable are none."""
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise TypeError(f"{who}: {what} must be a list of {of}; got {shown(given)}")
    if getattr(given, "shape", None) == ():
        raise TypeError(f"{who}: {what} must be a list of {of}; got {shown(given)}")
    return list(given)


def part(who: str, params: Any, *names: str) -> Any:
    """An entry of nested parameters, params[name][name]."""
    at = "params"
    for name in names:
        if not isinstance(params, Mapping):
            raise TypeError(f"{who}: {at} must be a dict, as init gives; got {shown(params)}")
        if name not in params:
            raise ValueError(f"{who}: {at}[{name!r}] is missing; there are {list(params)}")
        params, at = params[name], f"{at}[{name!r}]"
    return params


def is_data(x: Any) -> bool:
    """Whether this is a Tensor that has a value only when a traced function runs."""
    if not isinstance(x, mg.Tensor):
        return False
    try:
        x.numpy()
    except TypeError:
        return True
    return False


def integers(who: str, what: str, given: Any, wanted: str = "integers in a row") -> np.ndarray:
    """(n,) integers as int64; what is only known when a traced function runs is refused."""
    if is_data(given):
        raise TypeError(
            f"{who}: {what} are a Tensor of the trace, but they shape the graph and must be known "
            "while it is traced. In an mg.function pass them as rc.pad and rc.batches give them "
            "(rc.Lengths), or as a list or tuple of Python integers (a new value is a new trace), "
            "or make them outside of it"
        )
    try:
        a = np.asarray(given)
    except (TypeError, ValueError):
        raise TypeError(f"{who}: {what} must be {wanted}; got {shown(given)}") from None
    if not isinstance(given, np.ndarray) and a.size == 0 and a.dtype.kind == "f":
        a = a.astype(np.int64)  # an empty list
    if a.dtype.kind not in "iu" or a.ndim != 1:
        raise ValueError(f"{who}: {what} must be {wanted}; got {a.dtype} of shape {a.shape}")
    return a.astype(np.int64)


def lengths(who: str, given: Any, time: int, batch: int, there: str = "there are") -> np.ndarray:
    """(batch,) how many of `time` steps each sequence has; None: all."""
    if given is None:
        return np.full(batch, time, np.int64)
    wanted = f"{batch} integers, one per sequence"
    found = integers(who, "lengths", given, wanted)
    if len(found) != batch:
        raise ValueError(f"{who}: lengths must be {wanted}; got int64 of shape {found.shape}")
    wrong = np.flatnonzero((found < 0) | (found > time))
    if len(wrong):
        raise ValueError(
            f"{who}: lengths[{wrong[0]}] is {found[wrong[0]]}; {there} {time} time steps"
        )
    return found


def entries(who: str, what: str, given: Any, names: tuple[str, ...]) -> dict[str, mg.Tensor]:
    """These entries of a dict, as Tensors."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{who}: {what} must be a dict with {list(names)}; got {shown(given)}")
    for name in names:
        if name not in given:
            raise ValueError(f"{who}: {what}[{name!r}] is missing; needed are {list(names)}")
    return {name: mg.asarray(given[name]) for name in names}


def tensor(who: str, what: str, given: Any, *ndims: int) -> mg.Tensor:
    """Numbers (or booleans) as a Tensor, with one of these numbers of axes (none: any)."""
    try:
        t = mg.asarray(given)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{who}: {what} must be numbers; got {shown(given)}: {error}") from None
    if ndims and t.ndim not in ndims:
        axes = " or ".join(map(str, ndims))
        raise ValueError(f"{who}: {what} must have {axes} axes; got shape {t.shape}")
    return t


def function(who: str, what: str, given: Any, call: str) -> Any:
    """Something that can be called as `call` says."""
    if not callable(given) or isinstance(given, (type, mg.Tensor)):
        raise TypeError(f"{who}: {what} must be a function {call}; got {shown(given)}")
    return given


CELL = "cell(params, carry, x) -> (carry, y)"


def array(who: str, what: str, given: Any) -> np.ndarray:
    """Numbers (or booleans) as an array."""
    try:
        a = np.asarray(given)
    except (TypeError, ValueError):
        a = np.zeros(0, object)
    if a.dtype.kind not in "fiubc":
        raise TypeError(f"{who}: {what} must be numbers; got {shown(given)}")
    return a


NEEDS = "input_size", "init"


def cell_like(who: str, given: Any, needs: tuple[str, ...] = NEEDS, what: str = "cell") -> Any:
    """A cell or net that has what is needed of it."""
    if isinstance(given, type) or not callable(given) or not all(hasattr(given, n) for n in needs):
        raise ValueError(
            f"{who}: {what} must be a cell with init, zero_state, input_size and output_size; got "
            f"{shown(given)}"
        )
    return given
