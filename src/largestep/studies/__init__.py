"""Evidence that is not a cell: one module per kind of study, each with `study(spec, threads)`."""
