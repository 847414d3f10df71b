#!/usr/bin/env python3
"""Hand a job script of Snakemake's to Grid Engine's qsub, and print the job's id."""

import json
import os
import re
import subprocess
import sys

LOGS = "results/logs/sge"
# What sites call otherwise: a parallel environment on one host (qconf -spl), and the number of GPUs (qconf -sc).
PARALLEL_ENVIRONMENT = "smp"
GPU = "gpu"


def options(properties):
    """What the job asks for, for qsub.

    Memory is what its node must have free. As a limit (h_vmem) it would count addresses, of which importing torch alone
    takes more than a training job is meant to use.
    """
    resources = properties["resources"]
    given = ["-N", "ls." + properties.get("rule", properties.get("groupid", "group"))]
    for option, resource in {"-P": "slurm_account", "-q": "slurm_partition"}.items():
        if resource in resources:
            given += [option, resources[resource]]
    if properties["threads"] > 1:
        given += ["-pe", PARALLEL_ENVIRONMENT, str(properties["threads"])]
    wanted = {"h_rt": resources["runtime"] * 60, "mem_free": "{}M".format(resources["mem_mb"])}
    if resources.get("gpu"):
        wanted[GPU] = resources["gpu"]
    return [*given, "-l", ",".join("{}={}".format(*each) for each in wanted.items())]


def main():
    """Exit status 1, with qsub's own words, if the cluster refuses the job."""
    script = sys.argv[1]
    with open(script) as lines:
        properties = json.loads(re.search(r"^# properties = (.*)$", lines.read(), flags=re.MULTILINE).group(1))
    os.makedirs(LOGS, exist_ok=True)
    command = ["qsub", "-terse", "-S", "/bin/bash", "-cwd", "-j", "y", "-o", LOGS, *options(properties), script]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        sys.exit("error: there is no qsub here: run Snakemake on a machine that may submit jobs to Grid Engine")
    if done.returncode != 0:
        sys.exit("error: Grid Engine refuses the job: {}; {}".format(" ".join(done.stdout.split()), " ".join(command)))
    print(done.stdout.split()[-1])


main()
