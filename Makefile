# make reproduce: the whole study at laptop scale. make test: the tests. Both set up .venv first.
PYTHON ?= python3
CORES ?= all
VENV := .venv
BIN := $(VENV)/bin
COVERAGE := 7.17.5
READY := $(VENV)/.ready
LOWEST := .venv-lowest
# One test at a time to whoever is free: long ones come first, and in portions one worker would get all of them.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxschedchunk 1
PINS := torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 scipy==1.17.1 numba==0.68.1 llvmlite==0.50.0 pillow==13.0.0

.PHONY: reproduce verify compare reference readme test test-portable test-gpu test-kills test-reliability test-cluster test-lowest same-digits lint bench bench-gpu bench-plan bench-study precision disk times setup docs site variables findings coverage test-container lock clean

reproduce: setup
	$(BIN)/snakemake --cores $(CORES)
	$(BIN)/snakemake --cores 1 --reporter largestep
	@echo "Done. Open results/report.html; figures, tables and claims are in results/, data in results/largestep.nc."

# Is all that lies in results/ what config.yaml and the code of today would make? Lists what is not, and why.
verify: setup
	$(BIN)/python -m largestep verify

# Does the run in results/ agree with the published one?
compare: setup
	$(BIN)/python -m largestep compare

# What docs/index.md shows.
SHOWN := scorecard diagonal_sgd_curves bouncing regression_1d_fits two_layer_neurons digits_mlp_blocks
# Make the run in results/ the published one: what compare compares with, and the answers that README prints.
reference: setup
	$(BIN)/python -m largestep compare --write-reference docs/results/reference.json
	cp results/summary.csv docs/results/summary.csv
	for each in summary claims; do \
		{ printf '# The %s of the documented run\n\n' $$each; sed -E 's/ {2,}/ /g; s/-{4,}/---/g' results/$$each.md; } \
			> docs/results/$$each.md; done
	cp $(patsubst %,results/figures/%.png,$(SHOWN)) docs/figures/laptop

# After make reference, or after a change of what the claims say: README's answers, from results/summary.csv.
readme: setup
	$(BIN)/python -m largestep.claims.readme
	$(BIN)/python -m largestep.claims.readme --readme docs/index.md

test: setup
	$(PYTEST) --ignore tests/cluster --ignore tests/container

# The unit tests that compute with torch, as on processors without AVX, on one thread, and without AVX-512, on two.
TORCH := $(patsubst %,tests/unit/test_%.py,images networks image_features resnet densenet vgg mlp custom_model kernels \
	label_noise jacobian hessian published paper_settings)
test-portable: setup
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1 $(PYTEST) --quiet $(TORCH)
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=2 $(PYTEST) --quiet $(TORCH)

# Digests of toy networks and studies under every mix of compile target, BLAS kernels, NumPy features and threads; then as
# other processors under Debian's qemu-user. The first takes half an hour of one core.
same-digits: setup
	$(BIN)/python -m tests.same_digits
	$(BIN)/python -m tests.same_digits --emulated

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check --diff workflow
	$(BIN)/snakemake --lint

# With REF=COMMIT also the kernels' time over that commit's.
bench: setup
	$(if $(REF),$(BIN)/python benchmarks/kernels.py $(REF))
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/bench_images.py
	$(BIN)/python benchmarks/tree.py

# On a GPU, in six minutes together: each step has a time limit of its own and prints what it found as it ends.
bench-gpu: setup
	$(BIN)/python benchmarks/bench_gpu.py

test-gpu: setup
	timeout 135 $(BIN)/python -m pytest --verbose tests/gpu

# Twenty kills of one training job; make test does three.
test-kills: setup
	LARGESTEP_KILLS=20 $(BIN)/python -m pytest tests/reliability/test_kills.py

# Kills, damage, broken and hostile settings, full disks, alarms of compare and of verdicts: many times what make test does,
# with counts.
VERDICTS := $(wildcard tests/unit/test_claims*.py) tests/unit/test_phase_diagram.py
test-reliability: setup
	LARGESTEP_KILLS=40 LARGESTEP_COMPARISONS=40 LARGESTEP_DRAWS=200 LARGESTEP_DEEP_CELLS=4 $(PYTEST) \
		tests/reliability tests/dag $(VERDICTS)

# A real Slurm, a real Grid Engine and a local S3 server on this machine, one after the other. Root installs Debian's packages
# for them and removes what it started.
test-cluster: setup
	$(BIN)/python -m pytest -s tests/cluster

# The unit tests and one tiny run with the oldest versions that pyproject.toml allows; 6 GB, most of it torch.
test-lowest: $(LOWEST)/.ready
	$(LOWEST)/bin/python -m pytest --numprocesses auto tests/unit \
		tests/workflow/test_whole_run.py::test_makes_what_the_contract_names

# Plans, aggregation and verification of 100, 1,000 and 10,000 cells.
bench-plan: setup
	$(BIN)/python benchmarks/plan.py

# CPU time of all jobs of the study by stage, of this tree and of the commit REF: make bench-study REF=6001ad0.
bench-study: setup
	$(BIN)/python benchmarks/study.py $(REF)

# Whether test error and sparsity depend on the precision of the arithmetic; SEEDS=N for other than 48, also "22 --cell digits.decay50 --width 4".
precision: setup
	$(BIN)/python benchmarks/precision.py $(SEEDS)

# What each image cell takes on disk.
disk: setup
	@$(BIN)/python benchmarks/disk.py

# Where the time of the last run went.
times: setup
	@$(BIN)/python benchmarks/times.py

setup: $(READY)

$(READY): envs/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and "largestep needs Python 3.11 to 3.14, not %d.%d; say which with make PYTHON=/path/to/python" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(LOWEST)/.ready: pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --upgrade --editable '.[test]'
	@touch $@

# docs/config.md and the JSON schema of config.yaml, after a change of the types in src/largestep/config.
docs: setup
	$(BIN)/python -m largestep.config.reference

# The pages of docs/ as a site, in site/; a link that leads nowhere is an error.
site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# docs/variables.md from results/largestep.nc, after a change of what stores hold.
variables: setup
	$(BIN)/python -m largestep.dictionary

# Lines and branches that the unit tests run, but for kernels, which are compiled and not seen, nor is what runs in processes of
# its own. Takes a quarter of an hour of one core; fails where less than 90% of the lines are run.
COMPILED := */toys/*_kernels.py,*/toys/bouncing.py,*/spectra.py
coverage: setup
	$(BIN)/python -m pip install --quiet coverage==$(COVERAGE)
	$(BIN)/python -m coverage run --branch --source largestep --omit '$(COMPILED)' -m pytest --quiet tests/unit
	$(BIN)/python -m coverage report --sort cover --skip-covered
	$(BIN)/python -m coverage json --quiet -o .coverage.json
	@$(BIN)/python -c 'import json, sys; of = json.load(open(".coverage.json"))["totals"]; \
		lines, branches = of["percent_statements_covered"], of["percent_branches_covered"]; \
		print(f"lines {lines:.1f}%, branches {branches:.1f}%"); sys.exit(lines < 90 and "less than 90% of the lines")'

# The image of the Containerfile, where podman is installed; minutes, and gigabytes.
test-container: setup
	$(BIN)/python -m pytest -s tests/container

# Where libraries do something else than one expects (docs/pitfalls.md): which still do, with the pinned versions. Not in CI.
findings:
	@changed=0; for each in findings/*.sh; do \
		if said=$$(PYTHON=$(PYTHON) $$each 2>&1); then echo "as described   $$each"; \
		else changed=1; echo "changed, or not to be installed: $$each"; echo "$$said"; fi; \
	done; exit $$changed

# After a change of the dependencies in pyproject.toml. What decides digits is pinned here, to one version for every
# Python; the rest by uv.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	printf '%s\n' $(PINS) > .venv-lock/pins.txt
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-header --no-annotate \
		--constraint .venv-lock/pins.txt --output-file envs/requirements.lock pyproject.toml
	rm -rf .venv-lock

clean:
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
	rm -rf .snakemake
