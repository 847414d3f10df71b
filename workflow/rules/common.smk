# What rules pass to the stages: settings and fingerprints, by wildcards.

IMAGES = [name for name, settings in EXPERIMENTS.items() if settings.images]
TOYS = [name for name in EXPERIMENTS if name not in IMAGES]


def data_file(wildcards):
    """What the cells of an experiment are trained on; images are shared by experiments."""
    settings = EXPERIMENTS[wildcards.experiment]
    if not settings.images:
        return f"results/data/{wildcards.experiment}.nc"
    return f"results/images/{image_name(settings.data.model_dump(mode='json'))}.safetensors"


def data_spec(wildcards):
    return _any_cell(wildcards.experiment).spec("data")


def data_code(wildcards):
    return _any_cell(wildcards.experiment).code("data")


def cell_spec(stage):
    return lambda w: _cell(w).spec(stage)


def cell_code(stage):
    return lambda w: _cell(w).code(stage)


def _cell(wildcards):
    name = f"{wildcards.experiment}.{wildcards.cell}"
    if name not in CELLS:
        raise WorkflowError(
            f"{' + '.join(FILES)}: there is no cell {name} at scale {CONFIG.scale}"
        )
    return CELLS[name]


def _any_cell(experiment):
    # The cells of an experiment share its data.
    return next(cell for cell in CELLS.values() if cell.experiment == experiment)
