"""Does this run agree with the published one?

Compares a finished run with a reference that is shipped. Where digits must be equal (toy networks, kernels compiled
for the same target, the same libraries) it says identical or names the first store that differs; for all else it asks
which statistics of cells and claims differ beyond chance, corrected for their number. Says of each claim and cell:
identical, agreement, drift (beyond chance, but small or with the same answer) or disagreement. Exit status: 0 for the
first two, 1 for the others, 2 where nothing can be compared. A run of what `only` names is compared in that, and
claims are left out. It changes no file but the one of --write-reference.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from largestep import __version__, config, store, verify
from largestep.cli import command_parser
from largestep.compare import gather, reference
from largestep.compare.judge import SEVERITY, judge


def main() -> None:
    """Compare, or make a reference; see the module's docstring."""
    arguments = command_parser("compare", __doc__)
    verify.add_configuration(arguments)
    arguments.add_argument("--results", type=Path, default=Path("results"), help="finished run (default: results)")
    arguments.add_argument(
        "--reference", type=Path, default=reference.SHIPPED, help="what to compare with (default: the one shipped)"
    )
    arguments.add_argument("--json", action="store_true", help="print JSON in place of words")
    arguments.add_argument("--write-reference", type=Path, metavar="FILE", help="make a reference of this run instead")
    options = arguments.parse_args()
    settings = verify.configured(options, failed=2)
    try:
        if options.write_reference and settings.only:
            raise config.ConfigError("only: a reference is of all that a scale runs; leave it out, and run the rest")
        known = None if options.write_reference else reference.read(options.reference, settings.scale)
        run = gather.gather(settings, options.results)
        if known is None:
            reference.write(options.write_reference, run.kept(__version__))
            return
        paths = [each.path for each in run.stores]
        if settings.only:
            report = judge(known.part(options.reference, paths, run.cells), run.without_claims(), len(known.stores))
        else:
            known.check_covered(options.reference, paths)
            report = judge(known, run)
    except (config.ConfigError, store.StoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if options.json:
        made, whole = known.made.model_dump(), dataclasses.asdict(report)
        print(json.dumps({"verdict": report.verdict, "reference": made, **whole}, indent=1, ensure_ascii=False))
    else:
        print(report.text)
    sys.exit(0 if report.verdict in SEVERITY[:2] else 1)


if __name__ == "__main__":
    main()
