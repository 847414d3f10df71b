# The configuration, and how jobs are started.

# Whether another workflow imports this one. Its config.yaml, --configfile and --config are its own, to be passed on.
IS_MODULE = not workflow.modifier.is_main_snakefile()
CONFIG_FILE = PROJECT / "config.yaml" if IS_MODULE else configuration.base_file(PROJECT)
if IS_MODULE:
    GIVEN = {"files": [CONFIG_FILE], "values": {}, "module": config}
else:
    # Files given with --configfile lie on top of it, then values given with --config; not as Snakemake lays them.
    above = [
        Path(os.path.relpath(file)) for file in workflow.config_settings.configfiles
    ]
    values = dict(workflow.config_settings.config)
    # Of the Snakemake of a job: what that of the run planned with.
    PLANNED = values.pop("largestep_planned", None)
    if PLANNED is not None and workflow.is_main_process:
        sys.exit(
            "error: --config largestep_planned: is what a run tells its own jobs, and no key of config.yaml; leave it out"
        )
    GIVEN = {"files": [CONFIG_FILE, *above], "values": values}
SOURCES = configuration.sources(**GIVEN)
try:
    CONFIG = configuration.layered(**GIVEN)
    RESULTS_KEY = grid.results_key(CONFIG)
except configuration.ConfigError as error:
    sys.exit(f"error: {error}")
# Jobs of a cluster, and rules with `run`, have a Snakemake of their own that reads all this again, perhaps after an edit.
# All of them compare what the aggregate depends on: what a job itself depends on, Snakemake cannot tell it.
if not IS_MODULE:
    # A random.py in the working folder replaces nothing that the Snakemake of a rule with `run` imports.
    os.environ.update(PYTHONSAFEPATH="1")
    key = f"key-{RESULTS_KEY[:32]}"
    if workflow.is_main_process:
        workflow.config_settings.config_args.append(f"largestep_planned={key}")
    elif PLANNED not in (None, key):
        sys.exit(
            f"error: {' + '.join(SOURCES)}: was edited while the run is on, or code of a stage was, so that "
            "results/largestep.nc would be another than the one that was planned, and so perhaps what this job makes; end "
            "the run and start it again"
        )
if len(SOURCES) > 1:
    logger.info(f"Settings: {' + '.join(SOURCES)}")
# For the report.
if not IS_MODULE:

    configfile: str(CONFIG_FILE)


EXPERIMENTS = CONFIG.at_scale()
CELLS = grid.cells(CONFIG)
IMAGE_SETS = grid.image_sets(CONFIG)
STUDIES = CONFIG.studies_at_scale()
# What a job asks of a cluster, or of --resources gpu=N.
GPUS_PER_JOB = 0 if CONFIG.device.kind == "cpu" else 1
# What a cluster must know of a site, for all jobs, and for those that need a GPU.
ACCOUNT = {"slurm_account": CONFIG.cluster.account} if CONFIG.cluster.account else {}
PARTITIONS = (CONFIG.cluster.partition, CONFIG.cluster.gpu_partition)
SITE, GPU_SITE = (
    {"slurm_partition": partition, **ACCOUNT} if partition else ACCOUNT
    for partition in (PARTITIONS[0], PARTITIONS[GPUS_PER_JOB])
)
VIEWS = [
    (name, view) for name, settings in EXPERIMENTS.items() for view in settings.views
]

# Files that no rule names lie under the prefix of a module too; no object storage has them.
DOWNLOADS, CHECKPOINTS = (
    workflow.modifier.path_modifier.replace_prefix(f"results/{name}")
    for name in ("downloads", "checkpoints")
)
# Where data comes from and what computes is not part of what a result depends on, so it is no param of a rule.
SURROUNDINGS = {
    "LARGESTEP_DATA_ROOT": CONFIG.data.root or DOWNLOADS,
    "LARGESTEP_DATA_MIRROR": CONFIG.data.mirror,
    "LARGESTEP_DEVICE": CONFIG.device.kind,
    "LARGESTEP_JOBS_PER_GPU": CONFIG.device.jobs_per_gpu,
}
# Jobs use the Python that runs Snakemake, unless Snakemake sets up environments itself.
if not workflow.deployment_settings.deployment_method:
    SURROUNDINGS["LARGESTEP_PYTHON"] = Path(sys.executable).parent
JOB = " ".join(
    [
        *(
            f"{name}={shlex.quote(str(value))}"
            for name, value in SURROUNDINGS.items()
            if value is not None
        ),
        f"bash {shlex.quote(str(PROJECT.resolve() / 'workflow/scripts/job.sh'))}",
    ]
)


def signed(function):
    """The function, of which Snakemake asks the signature for every job: Python then has it at hand."""
    function.__signature__ = inspect.signature(function)
    return function


@signed
def job(wildcards, threads):
    """What runs a stage: `{params.job} STAGE ...`.

    Snakemake does not record what depends on threads, so that other paths and devices rerun nothing. A global
    shell.prefix() would be that of all rules of a workflow that imports this one, and a global variable unknown there.
    """
    return JOB


def minutes(number):
    """The run time that a job asks for, more at each attempt, as far as the site allows."""
    return signed(
        lambda wildcards, attempt: min(number * attempt, CONFIG.cluster.longest)
    )


def megabytes(number):
    """The memory that a job asks for, more at each attempt."""
    return signed(lambda wildcards, attempt: number * attempt)
