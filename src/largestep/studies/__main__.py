"""Run one study: an identity checked, a grid of short runs, a comparison of algorithms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from largestep import stages, store
from largestep.cli import run, spec_parser
from largestep.specs.studies import StudySpec


def main() -> None:
    """Run the study that the spec describes and write its store."""
    arguments = spec_parser("studies", __doc__, StudySpec.read, threads=True)
    arguments.add_argument("--output", required=True, type=Path, help="NetCDF store to write")
    options = arguments.parse_args()
    clock = store.Clock()
    spec: StudySpec[Any, Any] = options.spec
    dataset = stages.worker("studies", spec.settings.kind).study(spec, options.threads)
    store.write(
        options.output,
        dataset,
        title=f"Study {spec.study}",
        stage="studies",
        spec=spec.text(),
        code=stages.study_code(spec),
        seeds=", ".join(map(str, dataset["seed"].values)) if "seed" in dataset.coords else "none",
        clock=clock,
    )


if __name__ == "__main__":
    run(main)
