"""The landmarks, at sizes that take a second: each runs, is seeded, and states what it found."""

import numpy as np
import pytest

from benchmarks import claims

pytestmark = pytest.mark.long  # nets that learn


@pytest.mark.parametrize("name", claims.CLAIMS)
def test_a_claim_states_what_it_found(name, tmp_path):
    claim = claims.CLAIMS[name](**claims.QUICK.get(name, {}))
    low, high = claim.wanted
    assert low < high or low == high == len(claim.curves["ends alike"])
    assert claim.values and claim.verdict in ("reproduced", "qualified", "not reproduced")
    shown = claims.text(name, claim)
    assert claim.source in shown and claim.verdict.upper() in shown and str(name) in shown
    claims.figure(claim, tmp_path / "figure.svg")
    assert "<svg" in (tmp_path / "figure.svg").read_text()


def test_the_same_numbers_twice():
    quick = claims.QUICK["snap"]
    first, again = (claims.snap(**quick) for _ in range(2))
    assert first.values == again.values and first.curves == again.curves


def test_verdicts():
    claim = claims.turing()
    for values, but, verdict in [([5.0], "", "reproduced"), ([5.0], "x", "qualified"),
                                 ([5.0, 4.0], "", "qualified"), ([4.0], "", "not reproduced"),
                                 ([np.nan], "", "not reproduced")]:  # fmt: skip
        assert claim._replace(values=values, but=but).verdict == verdict


def test_an_unknown_claim(capsys):
    with pytest.raises(SystemExit):
        claims.main(["nobody"])
    assert "there is no claim 'nobody'" in capsys.readouterr().err
