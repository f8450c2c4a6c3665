"""What a study found: all that it knows, and the sentences that sum it up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..scene.text import subscript
from .corpus import Corpus
from .model import Task
from .results import Results
from .story import hiding, rate, story
from .training import Look, Training


@dataclass(frozen=True)
class Model:
    """One trained model: `name` is that of --cell."""

    name: str
    task: Task
    training: Training
    after: Look
    results: Results


@dataclass(frozen=True)
class Study:
    """Everything the report tells.

    models: all that were trained on the same data, the one that is looked into first.
    """

    corpus: Corpus
    task: Task
    training: Training
    before: Look
    after: Look
    command: str
    seed: int
    version: str = "(not installed)"
    models: tuple[Model, ...] = ()

    @property
    def is_tree(self) -> bool:
        return self.corpus.kind == "tree"

    @property
    def is_table(self) -> bool:
        return self.corpus.kind == "table"

    @property
    def unit(self) -> str:
        return "node" if self.is_tree else "step"

    @property
    def loss_name(self) -> str:
        return subscript("L", self.task.chosen + 1)

    @property
    def place(self) -> str:
        """Where the chosen loss is."""
        at_root = self.is_tree and self.task.chosen == len(self.task.names) - 1
        return "the root" if at_root else f"{self.unit} {self.task.chosen + 1}"


def summary(study: Study) -> list[str]:
    """What the study found, in sentences: the gradient first, then the training."""
    main, chosen = study.task.main, study.task.chosen
    norms = study.after.norms[main]
    names, below = study.task.names, study.task.below
    told = f"{study.loss_name}, the loss at {study.place}, with regard to the state {main}"
    found = story(norms, names, chosen, told, study.unit, below)
    extra = hiding(norms[below], study.after.total[main][below], study.loss_name, study.unit)
    if extra:
        found.append(extra)
    factor = None if study.is_tree else rate(norms[: chosen + 1])
    if factor is not None:
        found.append(f"On average a step back in time multiplies the gradient by {factor:.2g}.")
    return found


def training_line(study: Study) -> str:
    losses = study.training.losses
    if study.training.note and not losses:
        return study.training.note
    if not losses:
        return "The model is untrained: its parameters are as initialised."
    steps = "1 step" if len(losses) == 1 else f"{len(losses):,} steps"
    return (
        f"Training took {steps} and {study.training.seconds:.1f} seconds; the loss went from "
        f"{losses[0]:.3g} to {late(losses)}{study.task.measure}."
    )


def late(losses: list[float]) -> str:
    """The loss at the end: the mean of the last twentieth, since a sampled batch varies."""
    return f"{float(np.mean(losses[-max(1, len(losses) // 20) :])):.3g}"


def results_lines(study: Study) -> list[str]:
    """What the model reaches, in sentences."""
    found = study.models[0].results if study.models else None
    if found is None:
        return []
    own, held = found.own, found.held
    if found.forecast is not None:
        return _forecast_lines(study)
    ahead = getattr(study.task, "shift", 1)
    answers = study.corpus.kind == "answers"
    what = "labels" if study.is_tree else "answers" if answers else "next tokens"
    what = what if ahead else "tokens"
    part = "tree looked into" if study.is_tree else "sequence looked into"
    part = "texts trained on" if answers else part
    lines = [
        f"On the {part} the loss is {own.loss:.3g} nats, and {own.accuracy:.0%} of "
        f"{own.count} {what} are right."
    ]
    if held is not None:
        lines.append(
            f"On data that training has not seen: {held.loss:.3g} nats, {held.accuracy:.0%} of "
            f"{held.count:,} {what} right."
        )
    else:
        lines.append("Nothing was held out: there is too little of it, so it was all trained on.")
    return lines


def _forecast_lines(study: Study) -> list[str]:
    """The same of a table: beside the best of the baselines."""
    found, task = study.models[0].results, study.task
    mine = found.held or found.own
    where = (
        f"On the {mine.count:,} rows that training has not seen" if found.held
        else f"On the {mine.count:,} rows looked into, which were trained on (nothing was held out)"
    )  # fmt: skip
    others = found.forecast.baselines
    if task.classes:
        best = max(others, key=lambda n: others[n].accuracy)
        against = f"“{best}” is right in {others[best].accuracy:.0%}"
        said = [f"{where}, the model names {mine.accuracy:.0%} of the classes right; {against}."]
        worse = bool(found.held) and mine.accuracy < others[best].accuracy
    else:
        best = min(others, key=lambda n: others[n].loss)
        against = f"{others[best].loss:.3g} of the baseline “{best}”"
        said = [f"{where}, the mean square error is {mine.loss:.3g} deviations², beside {against}."]
        worse = bool(found.held) and mine.loss > others[best].loss
    if worse:
        said.append(
            "So that simple rule is better than this model on these data; fewer --steps, fewer "
            "--hidden units or another --cell may do better."
        )
    return said
