"""A finished study in one file for an archive such as Zenodo: an RO-Crate that is made, and one that is checked."""

METADATA, SUMS, PROVENANCE = "ro-crate-metadata.json", "SHA256SUMS", "provenance.csv"
