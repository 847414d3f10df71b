"""The report as Snakemake makes it by `--reporter largestep`: a plugin of Snakemake's own kind, found by its name.

Snakemake imports this at every start, before it has read a Snakefile: nothing else of largestep may be imported.
"""

from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_report_plugins.reporter import ReporterBase
from snakemake_interface_report_plugins.settings import ReportSettingsBase


@dataclass
class ReportSettings(ReportSettingsBase):
    """Options of the command line, `--report-largestep-...`."""

    path: Path = field(
        default=Path("results/report.html"),
        metadata={"help": "The HTML file to write.", "env_var": False, "required": False},
    )


class Reporter(ReporterBase):
    """What Snakemake collects, results, captions, rules and run times, as one page without scripts."""

    def render(self) -> None:
        """Write the report. Raises WorkflowError where it cannot be written, or reports on another workflow."""
        known = self.dag.workflow.globals
        if "RESULTS_KEY" not in known:
            raise WorkflowError(
                "--reporter largestep reports on largestep's own workflow alone; use --report for one that imports it"
            )
        from largestep.report import page
        from largestep.store import StoreError

        try:
            page.write(self, known["CONFIG"], Path(self.settings.path))
        except StoreError as error:
            raise WorkflowError(str(error)) from error
