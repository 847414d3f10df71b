#!/usr/bin/env python3
"""Print what has become of a job of Grid Engine: running (or waiting), success or failed."""

import os
import pwd
import re
import subprocess
import sys
import time
from xml.etree import ElementTree

# Here lies a mark of each job that Grid Engine knows nothing of.
MARKS = "results/logs/sge"
# A job that was deleted while it waited never comes into the accounts; one that ended comes some seconds later.
PATIENCE_S = 120.0


def in_queue(job):
    """The state of a job that waits or runs, and that of its queue on its node; None for another.

    Ends with the answer that the job runs if Grid Engine does not answer, which then has said so itself.
    """
    user = pwd.getpwuid(os.geteuid()).pw_name
    done = subprocess.run(["qstat", "-xml", "-f", "-ne", "-u", user], stdout=subprocess.PIPE)
    if done.returncode != 0:
        print("running")
        sys.exit()
    tree = ElementTree.fromstring(done.stdout)
    for place in [*tree.iter("Queue-List"), *tree.iter("job_info")]:
        for each in place.findall("job_list"):
            if each.findtext("JB_job_number") == job:
                return each.findtext("state", ""), place.findtext("state", "")
    return None


def has_failed(job):
    """Of a job that has ended; None as long as Grid Engine's accounts do not say."""
    done = subprocess.run(["qacct", "-j", job], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = done.stdout.decode(errors="replace")
    # The last of several, of a job that was started again.
    ends = [re.findall(rf"^{key} +(\d+)", text, flags=re.MULTILINE)[-1:] for key in ("failed", "exit_status")]
    return ends != [["0"], ["0"]] if all(ends) else None


def unknown_for_long(mark):
    """Whether nothing was known of the job of a mark for a while, over all calls."""
    if not os.path.exists(mark):
        open(mark, "w").close()
    return time.time() - os.path.getmtime(mark) > PATIENCE_S


def status(job):
    """What Snakemake is told."""
    queued = in_queue(job)
    if queued is None:
        failed, mark = has_failed(job), os.path.join(MARKS, job + ".unknown")
        if failed is None and unknown_for_long(mark):
            failed = True
        if failed is not None and os.path.exists(mark):
            os.remove(mark)
        return {None: "running", True: "failed", False: "success"}[failed]
    state, queue = queued
    # It could not be started (E), or Grid Engine has not heard of its node for as long as the site allows (u).
    lost = "E" in state or "u" in queue
    if lost and "d" not in state:
        subprocess.run(["qdel", job], stdout=sys.stderr)
    return "failed" if lost or "d" in state else "running"


print(status(sys.argv[1]))
