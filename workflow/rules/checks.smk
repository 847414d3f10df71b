# What Snakemake takes in silence or fails on late, refused before anything starts.

import importlib.util
import subprocess

# By their names here; a workflow that imports this one may give them others, or leave some out.
OURS = {name: proxy.rule for name, proxy in rules._rules.items()}
# Rules that have no job with these settings.
UNUSED = {
    name
    for names, used in {
        ("data", "train", "features", "sparsity"): TOYS,
        ("images", "train_images", "features_images", "sparsity_images"): IMAGES,
        ("study", "study_figure"): STUDIES,
        ("animation",): ANIMATED,
    }.items()
    for name in names
    if not used
}


def asked(rule, name):
    """How much of a resource the first attempt of a job asks for; None where that depends on its inputs."""
    known = {"input": [], "attempt": 1, "threads": 1, "rulename": rule.name}
    try:
        return rule.resources[name].evaluate(None, **known, async_run=None).value
    except (KeyError, WorkflowError):
        return None


def refuse_settings_of_other_rules(option, names):
    """Snakemake ignores what is set for a rule that is not there."""
    for name in sorted(set(names) - set(OURS)):
        sys.exit(
            f"error: {option}: there is no rule {name}; there are {', '.join(sorted(OURS))}"
        )


def refuse_low_limits():
    """Snakemake runs a job with the limit where it asks for more."""
    for resource in ("gpu", "mem_mb"):
        limit = workflow.global_resources.get(resource).value
        for name, each in sorted(OURS.items()):
            amount = asked(each, resource) if name not in UNUSED else None
            if limit is not None and amount is not None and limit < amount:
                sys.exit(
                    f"error: --resources {resource}={limit}: jobs of rule {name} ask for {amount}, and would be run "
                    f"with less; raise it, or set {resource} of {name} lower with --set-resources"
                )


def program_of(option, command):
    """The program that a command line starts with; None where a shell must read it to say (an assignment, a variable)."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        sys.exit(f"error: {option} {command}: {error}")
    return words[0] if words and re.fullmatch(r"[\w./][\w./+-]*", words[0]) else None


def programs_of_the_engine():
    """What jobs are handed to a cluster, watched and cancelled with."""
    name, settings = workflow.executor_plugin.name, workflow.executor_settings
    if name == "slurm":
        return ["sbatch", settings.status_command or "squeue", "scancel"]
    if name != "cluster-generic":
        return []
    commands = {
        kind: getattr(settings, f"{kind}_cmd")
        for kind in ("submit", "status", "cancel")
    }
    programs = [
        program_of(f"--cluster-generic-{kind}-cmd", command)
        for kind, command in commands.items()
        if command
    ]
    return [program for program in programs if program]


def shell_knows(program):
    """Whether the shell that the plugins use finds the program, or is it itself, as of cd."""
    found = subprocess.run(
        'command -v "$PROGRAM"',
        shell=True,
        env=os.environ | {"PROGRAM": program},
        stdout=subprocess.DEVNULL,
    )
    return found.returncode == 0


def refuse_to_start():
    """What is known only when jobs are to be run."""
    refuse_settings_of_other_rules("--groups", workflow.group_settings.overwrite_groups)
    # The Slurm plugin (2.8) waits for ever for a job that it could not submit for want of sbatch.
    for program in programs_of_the_engine():
        if not shell_knows(program):
            sys.exit(
                f"error: --executor {workflow.executor_plugin.name}: there is no program {program} here; start Snakemake "
                "on a machine that may submit jobs to the cluster, or without the cluster's --workflow-profile"
            )
    if not workflow.deployment_settings.deployment_method:
        for package in ("netCDF4", "numba", "torch"):
            if importlib.util.find_spec(package) is None:
                sys.exit(
                    f"error: {sys.executable}: has no package {package}, and jobs would use this Python; set one up with "
                    "make setup and run .venv/bin/snakemake, or add --software-deployment-method conda"
                )


# A job of a cluster is told what it asked for itself as a limit.
if workflow.is_main_process:
    refuse_low_limits()
    # Of a workflow that imports this one not all rules are known yet.
    if not IS_MODULE:
        refuse_settings_of_other_rules(
            "--set-resources", workflow.resource_settings.overwrite_resources
        )
        refuse_settings_of_other_rules(
            "--set-threads", workflow.resource_settings.overwrite_threads
        )
