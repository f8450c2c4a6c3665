"""docs/neurons.py draws what it is given, and docs/figures.md names what exists."""

import re

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex  # noqa: E402

from docs import guides, neurons  # noqa: E402

RNG = np.random.default_rng(0)
WEIGHTS = {
    "W": RNG.standard_normal((2, 3)), "U": RNG.standard_normal((3, 3)),
    "V": RNG.standard_normal((3, 1)),
}  # fmt: skip


def test_every_weight_is_a_line_of_its_size_and_sign():
    lines = neurons.network(WEIGHTS, steps=2).get_lines()
    one = [*WEIGHTS["W"].ravel(), *WEIGHTS["V"].ravel()]
    wanted = np.array([*one, *one, *WEIGHTS["U"].ravel()])
    assert len(lines) == len(wanted)
    top = np.abs(np.concatenate([w.ravel() for w in WEIGHTS.values()])).max()
    widths = np.array([line.get_linewidth() for line in lines])
    assert np.allclose(np.sort(widths), np.sort(0.3 + 2.2 * np.abs(wanted) / top))
    positive = sum(to_hex(line.get_color()) == neurons.LINE for line in lines)
    assert positive == (wanted > 0).sum()
    assert len(neurons.network(WEIGHTS, recurrent=False).get_lines()) == len(one)


def test_what_is_sensitive_is_dark():
    rows = neurons.shaded(np.array([0.5, 1.0, 0.1])).collections
    light = [row.get_facecolors()[:, :3].sum(axis=1) for row in rows]  # input, hidden, output
    assert np.argmin(light[0]) == 0 and light[0][1] == light[0][2]
    assert all(np.argsort(x).tolist() == [1, 0, 2] for x in light[1:])


def test_a_window_spans_what_the_middle_output_reads():
    reads = np.tril(np.ones((5, 5), bool)) & ~np.tril(np.ones((5, 5), bool), -2)
    ax = neurons.windows(reads)
    (bar,) = ax.get_lines()
    assert np.allclose(bar.get_xdata(), [0.8 - 0.32, 1.6 + 0.32])  # inputs 1 and 2, 0.8 apart
    assert len([a for a in ax.texts if not a.get_text()]) == reads.sum()


def test_the_table_names_what_exists_and_every_section_has_a_picture():
    page = guides.HERE / "figures.md"
    text = page.read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(.+?)\]\(#(.+?)\) \|.*\| (.+) \|$", text, re.M)
    sections = re.findall(r"^## (.+)$", text, re.M)
    assert [name.lower() for name, _, _ in rows] == [s.lower() for s in sections]
    homes = {"rc": rc, "mg": mg, "viz": viz, "neurons": neurons}
    for _, _, call in rows:
        names = re.findall(r"\b(rc|mg|viz|neurons)\.(\w+)", call)
        assert names and all(hasattr(homes[home], name) for home, name in names)
