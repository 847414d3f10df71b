"""Does this run agree with the published one? By digits where they must be equal, by statistics elsewhere."""
