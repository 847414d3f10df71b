"""The whole report: first the verdicts, then a page for every experiment and study, the claims and the workflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from largestep import store
from largestep.report import tables, workflow
from largestep.report.pictures import Picture, pictures

HERE = Path(__file__).parent
# Snakemake's own links, to what it calls categories and results, and where that is in this report.
CATEGORIES = {"Figures": "experiments", "Tables": "experiments", "Studies": "studies", "Claims": "claims"}
PANELS = {"workflow": "workflow", "statistics": "times"}


@dataclass(frozen=True)
class Shown:
    """A figure: a name for links, its caption, and its pages."""

    name: str
    caption: Markup
    pages: list[Picture]


@dataclass(frozen=True)
class Part:
    """The page of an experiment or a study."""

    name: str
    title: str
    paper: str
    figures: list[Shown]
    settings: str
    verdicts: tables.Table
    losses: tables.Table | None = None
    published: tables.Table | None = None
    values: tables.Table | None = None
    caption: str = ""


def write(collected: Any, config: Any, path: Path) -> None:
    """Write what Snakemake collected (its reporter, with results, jobs, DAG and description) as one HTML file.

    Raises StoreError where the file cannot be written.
    """
    records = [each for parts in collected.results.values() for part in parts.values() for each in part]
    claims = _claims(records)
    experiments = list(_experiments(records, config, claims))
    studies = list(_studies(records, config, claims))
    own = {part.name for part in experiments + studies}
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = template.from_string((HERE / "page.html.jinja").read_text(encoding="utf-8")).render(
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        description=linked(collected.workflow_description),
        experiments=experiments,
        studies=studies,
        scorecard=[_figure(each) for each in records if each.path.name == "scorecard.png"],
        captions=[Markup(each.caption) for each in records if each.path.name in ("claims.csv", "summary.csv")],
        others=tables.verdicts(row for row in claims if _of(row) not in own),
        rules=Markup(workflow.drawing(workflow.rules_of(collected.dag))),
        times=workflow.run_times(collected.jobs),
        scale=config.scale,
        made=datetime.now().astimezone().isoformat(" ", "minutes"),
    )
    store.write_text(path, text)


def linked(html: str) -> Markup:
    """Snakemake's description with its links, which call its own scripts, as links within this page."""

    def target(link: re.Match[str]) -> str:
        call, name = link[1], unquote(link[2])
        if call == "show_panel":
            return f'href="#{PANELS[name]}"'
        return f'href="#{CATEGORIES.get(name, "experiments")}"'

    return Markup(re.sub(r"href=\"javascript:(?:app\.)?(\w+)\('([^']*)'\)\"", target, html))


def _claims(records: list[Any]) -> list[tables.Row]:
    return [row for each in records if each.path.name == "claims.csv" for row in tables.rows_of(each.path)]


def _of(row: tables.Row) -> str:
    """The experiment or study that a statistic is taken of."""
    return row["experiment"].split("/")[0]


def _experiments(records: list[Any], config: Any, claims: list[tables.Row]) -> Iterator[Part]:
    for name, settings in config.at_scale().items():
        of_it = [each for each in records if each.job.wildcards.get("experiment") == name]
        rows = [row for each in of_it if each.path.suffix == ".csv" for row in tables.rows_of(each.path)]
        captions = [Markup(each.caption) for each in of_it if each.path.suffix == ".csv"]
        yield Part(
            name=name,
            title=settings.title,
            paper=settings.paper,
            figures=[_figure(each) for each in of_it if each.path.suffix != ".csv"],
            settings=_written(settings),
            verdicts=tables.verdicts(row for row in claims if _of(row) == name),
            losses=tables.losses(rows),
            published=tables.beside_the_paper(rows),
            values=tables.all_values(rows),
            caption=Markup("").join(captions),
        )


def _studies(records: list[Any], config: Any, claims: list[tables.Row]) -> Iterator[Part]:
    for name, settings in config.studies_at_scale().items():
        yield Part(
            name=name,
            title=settings.title,
            paper=settings.paper,
            figures=[_figure(each) for each in records if each.job.wildcards.get("study") == name],
            settings=_written(settings),
            verdicts=tables.verdicts(row for row in claims if _of(row) == name),
        )


def _figure(record: Any) -> Shown:
    return Shown(
        record.path.stem + record.path.suffix.replace(".", "-"), Markup(record.caption), list(pictures(record.path))
    )


def _written(settings: Any) -> str:
    """Settings as config.yaml would have them."""
    plain = settings.model_dump(mode="json", exclude_unset=True, exclude={"title", "paper", "views"})
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
