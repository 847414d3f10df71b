# What rules pass to the stages: settings and fingerprints, by wildcards.

IMAGES = [name for name, settings in EXPERIMENTS.items() if settings.images]
TOYS = [name for name, settings in EXPERIMENTS.items() if not settings.images]
# A cell of each experiment; all of them share its data.
FIRST_CELLS = {cell.experiment: cell for cell in CELLS.values()}
# Named by all that the aggregate was made from, so that it is missing after a change, even where Snakemake's records
# are lost.
MADE = f"results/specs/{RESULTS_KEY[:16]}.made"
# What the aggregate is made of.
STORES = [
    *(f"results/data/{name}.nc" for name in TOYS),
    *(
        f"results/cells/{cell}/{stage}.nc"
        for cell in CELLS
        for stage in ("train", "features", "sparsity")
    ),
    *(f"results/studies/{name}.nc" for name in STUDIES),
]
ANIMATED = [name for name, study in STUDIES.items() if study.kind == "loss_slice"]
SPECS = {"aggregate": grid.aggregate_spec(CONFIG), "claims": grid.claims_spec(CONFIG)}


def data_file(wildcards):
    """What the cells of an experiment are trained on; images are shared by experiments."""
    settings = EXPERIMENTS[wildcards.experiment]
    if not settings.images:
        return f"results/data/{wildcards.experiment}.nc"
    name = grid.data_spec(settings).image_set().name
    return f"results/images/{name}.safetensors"


def data_spec(wildcards):
    return FIRST_CELLS[wildcards.experiment].spec("data")


def data_code(wildcards):
    return FIRST_CELLS[wildcards.experiment].code("data")


def cell_spec(stage):
    return signed(lambda w: cell_of(w).spec(stage))


def cell_code(stage):
    return signed(lambda w: cell_of(w).code(stage))


def part_spec(stage):
    """The spec of the seeds that one job trains of an image classifier."""
    return lambda w: cell_of(w).part_spec(stage, _seeds(w))


def part_files(stage):
    """The stores of all such jobs of a cell."""
    return lambda w: [
        f"results/cells/{w.experiment}.{w.cell}/seeds/{seeds}/{stage}.nc"
        for seeds in cell_of(w).parts()
    ]


def _seeds(wildcards):
    parts = cell_of(wildcards).parts()
    if wildcards.seeds not in parts:
        raise WorkflowError(
            f"{' + '.join(SOURCES)}: no job trains seeds {wildcards.seeds} of {wildcards.experiment}.{wildcards.cell}; "
            f"there are {', '.join(parts)}"
        )
    return parts[wildcards.seeds]


def cell_of(wildcards):
    name = f"{wildcards.experiment}.{wildcards.cell}"
    if name not in CELLS:
        raise WorkflowError(
            f"{' + '.join(SOURCES)}: there is no cell {name} at scale {CONFIG.scale}"
        )
    return CELLS[name]
