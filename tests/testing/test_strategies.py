"""The strategies: everything asked for is drawn, examples run as printed, and shrink."""

from __future__ import annotations

import contextlib
import io
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import minigrad as mg
import recurrent as rc
from minigrad.testing import check_grads
from minigrad.testing import strategies as mgst
from minigrad.testing.examples.expressions import RULES, Rule, random_expression
from minigrad.testing.examples.problems import KNOT, Seeded, make_problem, source_of

from ..counting import examples

many = settings(
    max_examples=min(examples(3000), 6000), database=None, suppress_health_check=list(HealthCheck)
)


def example(strategy, condition):
    """The smallest example that meets a condition."""
    return find(strategy, condition, settings=many)


def never(strategy, condition):
    quick = settings(max_examples=200, database=None, phases=[Phase.generate])
    with pytest.raises(NoSuchExample):
        find(strategy, condition, settings=quick)


def printed(script):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(script, "<script>", "exec"), {})
    return out.getvalue()


# -- arrays ----------------------------------------------------------------------------------------

SPECIALS = {
    "zeros": lambda a: (a == 0).any(),
    "infinities": lambda a: np.isinf(a).any(),
    "nans": lambda a: np.isnan(a).any(),
    "subnormals": lambda a: ((a != 0) & (np.abs(a) < np.finfo(a.dtype).tiny)).any(),
    "extremes": lambda a: (np.isfinite(a) & (np.abs(a) > 100)).any(),
    "ties": lambda a: len(np.unique(a)) < a.size,
}


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SPECIALS)
def test_each_special_is_drawn_unless_switched_off(name, dtype):
    assert example(mgst.arrays((3,), dtype), SPECIALS[name]).dtype == dtype
    off = {name: False} if name != "ties" else {"ties": False, "nans": False}
    never(mgst.arrays((3,), dtype, **off), SPECIALS[name])


LAYOUTS = {
    "negative strides": lambda a: any(s < 0 for s in a.strides),
    "gaps": lambda a: a.ndim == 1 and a.strides[0] > a.itemsize,
    "Fortran order": lambda a: a.flags.f_contiguous and not a.flags.c_contiguous,
    "read-only": lambda a: not a.flags.writeable,
    "no axes": lambda a: a.ndim == 0,
    "no elements": lambda a: a.size == 0,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_is_drawn(name):
    assert isinstance(example(mgst.arrays(), LAYOUTS[name]), np.ndarray)


@given(mgst.arrays(odd_layouts=False), st.data())
def test_a_layout_changes_no_element(a, data):
    b = data.draw(mgst.layouts(a))
    assert b.shape == a.shape and b.dtype == a.dtype
    np.testing.assert_array_equal(a, b)


@given(mgst.arrays(dtype=st.sampled_from(["int32", "uint8", "bool", "float16"])))
def test_other_dtypes(a):
    assert a.dtype in ("int32", "uint8", "bool", "float16")


def test_what_is_no_dtype_is_refused():
    with pytest.raises(ValueError, match="complex128"):
        find(mgst.arrays(dtype=complex), lambda a: True)


@given(mgst.tensors((2, 3), "float32"))
def test_tensors(t):
    assert isinstance(t, mg.Tensor) and t.shape == (2, 3) and t.dtype == np.float32


def test_arrays_shrink_to_small_numbers():
    a = example(mgst.arrays((3,), extremes=False, infinities=False), lambda a: (a > 2).any())
    assert sorted(a.tolist())[:2] == [0, 0] and a.max() <= 3


# -- expressions -----------------------------------------------------------------------------------


@given(mgst.expressions())
def test_gradients_of_random_expressions(e):
    assert check_grads(e.f, *e.args).ok


@given(mgst.expressions(specials=True))
def test_expressions_at_kinks_and_overflow_still_evaluate(e):
    t = [mg.asarray(a) for a in e.args]
    y = e.f(*t)
    mg.evaluate((y, mg.grad(mg.sum(y), t)))


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_drawn(name):
    """A rule whose operands never fit would be dead; alone it must give a line."""
    assert any(random_expression(Seeded(seed), only=[name]).lines for seed in range(30)), name


@given(mgst.expressions(specials=True) | mgst.expressions(dtype="float32"))
def test_an_expression_prints_as_a_script_that_runs(e):
    assert printed(repr(e)) == str(e.f(*e.args)) + "\n"


@pytest.mark.parametrize(
    ("strategy", "begin", "end"),
    [
        (mgst.expressions(), "import minigrad as mg", "print(f(x0))"),
        (mgst.blocks(), "import minigrad as mg", "print(f(x0))"),
        (mgst.problems("chain"), "import minigrad as mg", "inputs=inputs)))"),
        (mgst.cells(), "def cell(p, carry, x):", '"z": mg.sum(v2)}'),
        (mgst.structures("ragged"), "build(mg.Structure.chain([0, 2]))", "chain([0, 2]))"),
    ],
    ids=["expression", "block", "problem", "cell", "structure"],
)
def test_a_failing_example_is_reported_as_its_script(strategy, begin, end):
    @settings(database=None, derandomize=True, max_examples=3000)
    @given(x=strategy)
    def fails(x):
        raise ArithmeticError

    with pytest.raises(ArithmeticError) as error:
        fails()
    text = "\n".join(error.value.__notes__)
    script = text[text.index(begin) : text.index(end) + len(end)]
    if begin.startswith("import"):
        assert printed(script)


def test_an_expression_shrinks_to_its_fault():
    e = example(mgst.expressions(), lambda e: "mg.cosh" in e.text)
    assert len(e.lines) == 1 and len(e.args) == 1 and e.args[0].size == 1


def test_a_rule_is_added_in_one_line(monkeypatch):
    monkeypatch.setitem(RULES, "cube", Rule(lambda d: f"{d.operand()} ** 3"))
    e = example(mgst.expressions(only=["cube"]), lambda e: e.lines)
    assert e.text.endswith("y0 = x0 ** 3\n    return y0\n")
    assert check_grads(e.f, *e.args).ok
    with pytest.raises(ValueError, match="no rule 'cubed'"):
        random_expression(Seeded(0), only=["cubed"])


@given(mgst.blocks())
def test_blocks_are_calls_of_the_same_expression(b):
    t = [mg.asarray(a) for a in b.args]
    y = b.f(*t)
    assert np.array_equal(mg.evaluate(y), mg.evaluate(b.expression.f(*t)), equal_nan=True)
    assert printed(repr(b)) == str(y) + "\n"


# -- structures, cells, problems -------------------------------------------------------------------

SHAPES = {
    "empty sequence": ("ragged", lambda s: len(np.unique(s.component)) < s.components),
    "flows back": ("reversed", lambda s: (s.src > s.dst).any()),
    "two children": ("forest", lambda s: (s.slot == 1).any() and (s.slot == 0).any()),
    "two axes": ("grid", lambda s: len(set(s.slot.tolist())) == 2),
    "double edge": (
        "dag", lambda s: len(set(zip(s.src, s.dst, s.slot, strict=True))) < len(s.src),
    ),
    "fan-out": ("dag", lambda s: np.bincount(s.src, minlength=1).max() > 2),
    "isolated": ("dag", lambda s: len({*s.src.tolist(), *s.dst.tolist()}) < s.n),
    "any": (None, lambda s: s.n > 3),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_each_kind_of_structure_is_drawn(name):
    kind, condition = SHAPES[name]
    assert condition(example(mgst.structures(kind), condition))


def test_a_structure_shrinks():
    s = example(mgst.structures("dag"), lambda s: np.bincount(s.src).max() > 1)
    assert (s.n, len(s.src)) == (3, 2)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="chain, ragged, reversed, forest, grid, dag"):
        mgst.structures("ring")


@given(mgst.problems())
def test_a_problem_prints_as_a_script_that_runs(p):
    assert printed(repr(p)) == f"{mg.evaluate(p.run(p.tensors()))}\n"


def test_a_problem_shrinks():
    p = example(mgst.problems("chain"), lambda p: "mg.vecdot" in p.cell.text and p.structure.n > 1)
    assert p.structure.n == 2 and len(p.cell.steps) == 1 and p.cell.leaves == 1


@st.composite
def turns(draw):
    """Up to five turns of four choices, and one choice behind them, as a random cell has them."""
    source = mgst.Drawn(draw)
    made = [tuple(source.integer(0, 9) for _ in range(4)) for _ in source.times(1, 5)]
    return made, source.integer(1, 2)


def test_whatever_turn_is_taken_out_the_choices_behind_it_keep_their_meaning():
    """Also where there were as many turns as there can be: one in seven searches ended there."""
    for seed in range(8):
        found = find(turns(), lambda d: d[0][-1][0] == 7, settings=many, random=Random(seed))
        assert found == ([(7, 0, 0, 0)], 1), seed


def test_a_seed_makes_a_problem_again():
    for kind in mgst.KINDS:
        one, two = make_problem(kind, 5), make_problem(kind, 5)
        assert repr(one) == repr(two) and one.cell is not two.cell
        assert repr(one) != repr(make_problem(kind, 6))
    assert repr(KNOT).startswith("mg.Structure.edges(7, [0, 0, 0, 1, 2, 3, 3, 1, 6], ")


@given(mgst.cells(slots=2))
def test_cells_have_the_slots_asked_for(cell):
    p = cell.params(3, np.random.default_rng(0))
    zero = [np.zeros(cell.width)] * cell.leaves
    state = tuple(zero) if cell.leaves > 1 else zero[0]
    new, y = cell(mg.tensors(p), (state, state), mg.zeros(3))
    assert y["y"].shape == (cell.width,) and y["z"].shape == ()
    assert len(new) == 2 if cell.leaves > 1 else new.shape == (cell.width,)
    assert repr(cell).startswith("def cell(p, carry, x):\n    ")


@given(mgst.sequences(3, padding=np.nan))
def test_sequences_are_padded_behind_their_ends(r):
    assert r.xs.shape == (max(r.lengths), len(r.lengths), 3)
    assert [len(x) for x in r.each()] == r.lengths and len(r.rows()) == sum(r.lengths) > 0
    assert np.isnan(r.xs).sum() == 3 * (r.xs[..., 0].size - sum(r.lengths))


def test_sequences_can_be_empty_and_shrink():
    r = example(mgst.sequences(1), lambda r: 0 in r.lengths)
    assert sorted(r.lengths) == [0, 1]


@given(mgst.trees(arity=3))
def test_trees_are_read_by_recurrent(tree):
    s = rc.structure(tree)
    assert s.n >= 3 and len(rc.roots(tree)) == 1


def test_numbers_keep_every_bit():
    a = {"a": np.array([np.inf, -np.inf, np.nan, 0.1, -0.0, 5e-324]), "b": (np.float32(0.1), None)}
    back = eval(source_of(a), {"np": np})
    assert back["a"].tobytes() == a["a"].tobytes() and back["b"][0].dtype == np.float32
    assert eval(source_of([np.zeros((0, 2), "int32")]), {"np": np})[0].shape == (0, 2)


@settings(max_examples=10)
@given(mgst.programs())
def test_programs_define_a_step_and_calls(program):
    scope = {}
    exec(program.text, scope)
    t, structure, size = scope["calls"][0]
    scope["step"](mg.tensors(t), structure, size)
    assert len(scope["calls"]) == program.calls and repr(program) == program.text
