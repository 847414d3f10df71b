"""Captions of the report: each figure's own, with what several of them say, filled in for an experiment or a study."""

from __future__ import annotations

from functools import cache
from string import punctuation
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from largestep import registered
from largestep.config import Experiment

TITLE = '**{{ settings["title"] | plain }}** (in the paper: {{ settings["paper"] | plain }}).\n'
# What captions of experiments may say by name, `{{ bands }}`.
SHARED = {
    "arms": """
{% if training["arms"] | length > 1 %}The rows of panels are the arms: in the first, all seeds share a data set; in
the second, each seed has its own.
{% elif "data" in training["arms"] %}Each seed has a data set of its own{% if training["batch_size"] == "full" %};
nothing else is random in gradient descent from a constant init{% endif %}.
{% else %}All seeds share a data set.
{% endif %}
""",
    "bands": """
*Lines and bands.* A line is the median over the seeds whose run never diverged; a band holds the middle half of
them, from the 25% to the 75% quantile. It shows how much runs differ, not how well the median is known.
""",
    "decays": "Dotted vertical lines mark where a step size is divided, in the colour of its schedule.",
    "published": """
Diamonds at the right edge, where there are any, are the values that the paper reports for its single run.
{% if training["arms"] | length > 1 %}They stand in the first arm only: in the second every seed is another problem.
{% elif "data" in training["arms"] %}Here every seed is another problem than the paper's, so that they only say where
one such run may end.
{% endif %}
""",
    "peaks": """
{% if divided %}
*Peak step sizes.* Where a warm-up raises the step size until the decay, a longer phase of large steps is also one of
larger steps. Labels give the peak, "peak η", wherever it differs between the schedules that are not constant.
{% endif %}
""",
    "annealing": """
{% if annealed %}
*Annealing.* Under cosine annealing the step size falls along half a cosine, from its peak to 0 at the end of
training. It is never divided: the schedule has no phase of large steps, and its colour, sky blue, says nothing of a
duration.
{% endif %}
""",
    "lost": """
*Diverged and dead runs.* The figure says how many of the runs of each schedule diverged. They are in no line, band
or panel; where they are many, what is drawn describes the survivors. A survivor is *dead* when it ends with a block
in which no unit is active on any training example: it is perfectly sparse, but computes a constant. Dead runs are
counted beside the diverged ones and included in the medians.
""",
}
TEMPLATES = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)


def plain(text: str) -> str:
    """A text of somebody's own in one line of reStructuredText or Markdown that shows it as it is."""
    words = " ".join(text.split()) or "–"
    return "".join(f"\\{letter}" if letter in punctuation else letter for letter in words)


TEMPLATES.filters["plain"] = plain


def of_view(experiment: Experiment, view: str) -> str:
    """The caption of a view of an experiment, as reStructuredText."""
    cells = experiment.cells.values()
    known = {
        "settings": experiment,
        "experiment": experiment,
        "training": experiment.training,
        "data": experiment.data.kind,
        "model": experiment.model.kind,
        "images": experiment.images,
        "linear": experiment.linear,
        "hidden_layers": len(getattr(experiment.model, "layers", [None])) - 1,
        "annealed": any(cell.annealing for cell in cells),
        "divided": any(cell.decays for cell in cells),
    }
    known["arms"] = _filled(SHARED["arms"], known)
    shared = {name: _filled(text, known).strip() for name, text in SHARED.items() if name != "arms"}
    measures = _filled(registered.measure_captions(), known)
    return _filled(f"{TITLE}{registered.view(view).caption}", known | shared | {"measures": measures})


def of_study(study: Any) -> str:
    """The caption of the figure of a study of config.yaml, as reStructuredText."""
    return _filled(f"{TITLE}{registered.view(study.kind).caption}", {"settings": study, "study": study})


def _filled(text: str, known: dict[str, Any]) -> str:
    return _template(text).render(known)


@cache
def _template(text: str) -> Template:
    return TEMPLATES.from_string(text)
