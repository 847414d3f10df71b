"""The report: one HTML file of all that a run found, made from what Snakemake collects."""
