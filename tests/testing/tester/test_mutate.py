"""The test of the tester (`minigrad.testing.tester.mutate`), and of the tester of the tester."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.table import TABLE
from minigrad.recur import PROJ, RECUR
from minigrad.structure import Structure
from minigrad.testing import GradientError, Report, check_grads
from minigrad.testing.__main__ import main
from minigrad.testing.laws import close, dot
from minigrad.testing.tester import mutate
from minigrad.testing.tester.faults import FAULTS
from minigrad.testing.tester.mutations import MUTATIONS, SLIPS

from ...ops.test_every_op import derivatives, leaves, random

pytestmark = pytest.mark.long  # the tester itself, at work


def made(name):
    (found,) = [m for m in mutate.mutants() if m.name == name]
    return found


def slope(x=0.5):
    t = mg.asarray(x)
    return mg.grad(mg.tanh(t), t).item()


# -- the tester ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_check_grads_catches_nearly_every_mutant():
    """Thinned to seconds; `python -m minigrad.testing.tester.mutate` runs them all."""
    report = mutate.run(every=17)
    assert report.changing >= 100 and not report.of(mutate.CRASHED), str(report)
    assert report.rate >= 0.98, str(report)


@pytest.mark.parametrize("fault", [f"{part}[]: {name}" for part, all_ in FAULTS.items()
                                   for name in all_])  # fmt: skip
def test_check_grads_catches_every_fault_of_the_engine(fault):
    assert mutate.run(only=fault).rate == 1.0


def test_there_are_mutants_enough():
    all_ = mutate.mutants()
    assert len(all_) == len({m.name for m in all_}) > 1500
    rules = {m.rule for m in all_}
    assert rules >= {name for name, op in TABLE.items() if op.vjp} | {"recur", "proj"} | set(FAULTS)
    planned = {m.mutation for m in all_}
    assert planned >= set(MUTATIONS).union(*SLIPS.values(), *FAULTS.values()), "it never applies"
    assert len([m for m in all_[::10] if mutate._differs(m)]) >= 0.9 * len(all_[::10])


@pytest.mark.parametrize("wrong", [
    "mutate --every 0", "mutate --every x", "mutate --seed -1", "alarms --number 0",
    "alarms --order 0", "fuzz --jobs 0", "fuzz --most 0",
])  # fmt: skip
def test_numbers_of_a_command_are_refused_in_words(wrong, capsys):
    with pytest.raises(SystemExit):
        main(wrong.split())
    _, option, given = wrong.split()
    assert f"argument {option}: an integer of at least" in (said := capsys.readouterr().err)
    assert f"not '{given}'" in said


@pytest.mark.parametrize("options", [{"every": 0}, {"samples": 0}, {"seed": -1}, {"every": 1.5}])
def test_numbers_of_a_run_are_refused_in_words(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"mutate.run: {name} must be an integer of at least"):
        mutate.run(only="tanh", **options)


def test_a_name_of_no_mutant_is_refused():
    with pytest.raises(ValueError, match="no mutant's name contains 'nonsense'"):
        mutate.run(only="nonsense")


# -- the tester of the tester ----------------------------------------------------------------------


def test_a_check_that_sees_nothing_scores_nothing():
    report = mutate.run(only="tanh", check=lambda f, *arrays, **how: None)
    assert report.rate == 0 and report.changing >= 20
    assert len(report.of(mutate.MISSED)) == report.changing


def test_a_check_that_is_never_content_is_refused():
    def never(f, *arrays, **how):
        check_grads(lambda x: x * mg.stop_gradient(x) + broken(x), np.ones(2))

    broken = mg.primitive("broken", numpy=np.tanh, vjp=lambda ct, y, x: ct)
    with pytest.raises(ValueError, match="where every rule is right"):
        mutate.run(only="tanh[0]: sign", check=never)


def adjoint_identity(f, *arrays, order=1):
    """Consistency alone, as a check: <u, J v> = <J^T u, v>."""
    inputs = [mg.asarray(a) for a in arrays]
    d = derivatives(f, inputs)
    u, v = random(leaves(f, inputs), 1), random(inputs, 2)
    try:
        close(*mg.evaluate((dot(u, d["fwd"]), dot(d["rev"], v))), 1e-10)
    except AssertionError as error:
        raise GradientError(Report(str(error))) from None


def test_a_weak_check_scores_between():
    """The adjoint identity holds for a wrong rule that is linear, and fails for one that is not."""
    weak = mutate.run(only="sin[0]", check=adjoint_identity)
    assert 0 < weak.rate < 0.5
    missed = {o.mutant.mutation for o in weak.of(mutate.MISSED)}
    assert {"sign", "factor 1.001", "zero"} <= missed
    assert mutate.run(only="sin[0]").rate == 1.0


def test_a_mutant_is_planted_and_taken_out():
    right, rule = slope(), TABLE["tanh"].vjp
    mutant = made("tanh[0]: sign")
    with mutant.planted():
        assert slope() == -right
    assert slope() == right and TABLE["tanh"].vjp is rule
    with pytest.raises(ZeroDivisionError), mutant.planted():
        raise ZeroDivisionError
    assert TABLE["tanh"].vjp is rule


def test_every_mutant_leaves_the_rules_as_they_were():
    def state():
        return [op.vjp for op in (*TABLE.values(), RECUR, PROJ)] + [Structure.transpose]

    before = state()
    for mutant in mutate.mutants()[::5]:
        with mutant.planted():
            assert state() != before or mutant.rule in FAULTS
    assert state() == before


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda s: s.g, False),
        (lambda s: s.g + 0.0, False),
        (lambda s: s.g * (1 + 1e-9), True),
        (lambda s: mg.where(s.x > 1.0, -s.g, s.g), True),
        (lambda s: mg.where(s.x > 50.0, 0.0, s.g), False),
    ],
)
def test_equivalence_is_computed(change, differs):
    mutant = mutate._rule_mutant("tanh", "0", "made here", change)
    assert mutate._differs(mutant) is differs


def test_an_equivalent_mutant_does_not_count(monkeypatch):
    monkeypatch.setitem(SLIPS, "tanh", {"nothing": lambda s: s.g * 1.0})
    report = mutate.run(only="tanh[0]: nothing")
    assert report.changing == 0 and np.isnan(report.rate)
    (outcome,) = report.of(mutate.EQUIVALENT)
    assert "no cotangent differs" in outcome.why and "1 equivalent" in str(report)


def test_a_crash_is_not_a_catch():
    def crashing(f, *arrays, **how):
        if TABLE["tanh"].vjp is not right:
            raise KeyError("lost")

    right = TABLE["tanh"].vjp
    report = mutate.run(only="tanh[0]: sign", check=crashing)
    assert report.rate == 0 and "KeyError" in str(report)


def test_the_report_is_a_table(capsys):
    assert main(["mutate", "--only", "sqrt[0]"]) == 0
    printed = capsys.readouterr().out
    (row,) = [line for line in printed.splitlines() if line.startswith("sqrt[0]")]
    assert ". 1/y" in row and "M" not in row
    assert "100.00 %" in printed
    missed = str(mutate.run(only="sqrt[0]: sign", check=lambda f, *arrays, **how: None))
    assert "missed: sqrt[0]: sign" in missed and "0.00 %" in missed


@pytest.mark.slow
def test_the_suite_is_asked(monkeypatch):
    """A fresh Python plants the mutant and runs tests: those that can see it fail."""
    for tests, verdict in (("test_ops", mutate.CAUGHT), ("test_io", mutate.MISSED)):
        monkeypatch.setattr(mutate, "TESTS", (f"tests/{tests}.py",))
        report = mutate.run(only="relu[0]: zero", suite=True)
        assert [o.suite for o in report.fates] == [verdict]
        assert ("the suite caught 1 of 1" in str(report)) == (verdict == mutate.CAUGHT)
