# Where this workflow's own files are: its package, and what its jobs are started by.

import sys
import tarfile
import tempfile

from snakemake.sourcecache import LocalSourceFile


def checkout():
    """The folder that holds workflow/, src/ and config.yaml of this workflow, which may be another's module.

    Of a module that is taken from a repository (github(), gitlab(), a local one) Snakemake fetches what it includes,
    but no package: its commit is unpacked beside Snakemake's own copies.
    """
    here = workflow.current_basedir.join("../..")
    if isinstance(here, LocalSourceFile):
        return Path(os.path.normpath(here.get_path_or_uri(secret_free=False)))
    import git

    repository = (
        git.Repo(here.repo_path)
        if hasattr(here, "repo_path")
        else here.hosted_repo.repo
    )
    commit = repository.commit(here.ref).hexsha
    folder = Path(workflow.sourcecache.cache_path) / "largestep" / commit
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=folder.parent) as beside,
            tempfile.TemporaryFile() as archive,
        ):
            repository.git.archive(
                commit, "src", "workflow", "config.yaml", output_stream=archive
            )
            archive.seek(0)
            with tarfile.open(fileobj=archive) as files:
                files.extractall(f"{beside}/{commit}", filter="data")
            try:
                os.rename(f"{beside}/{commit}", folder)
            except OSError:
                # Another run was faster.
                if not folder.exists():
                    raise
    return folder


PROJECT = checkout()
# Snakemake writes both into commands of its own, which it then misquotes (rules with `run`) or formats.
for folder in (PROJECT, Path.cwd()):
    if found := sorted(set("'{}").intersection(str(folder))):
        sys.exit(
            f"error: {folder}: Snakemake cannot run jobs in a folder with {' or '.join(found)} in its name; rename it, or "
            "move what is in it"
        )
# Numba caches kernels by where the package really lies.
SOURCE = (PROJECT / "src").resolve()
sys.path.insert(0, str(SOURCE))

import largestep

if not Path(largestep.__file__).resolve().is_relative_to(SOURCE):
    sys.exit(
        f"error: {SOURCE}: another copy of largestep is in use already, {Path(largestep.__file__).parent}; "
        "import one of them into a workflow, as often as you like"
    )
