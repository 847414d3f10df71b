# Ranks, feature sparsity and numbers of non-zeros at every threshold, then all cells side by side.


rule sparsity:
    input:
        features="results/cells/{experiment}.{cell}/features.nc",
    output:
        "results/cells/{experiment}.{cell}/sparsity.nc",
    log:
        "results/logs/sparsity/{experiment}.{cell}.log",
    benchmark:
        "results/benchmarks/sparsity/{experiment}.{cell}.tsv"
    wildcard_constraints:
        experiment="|".join(TOYS) or "none",
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        **SITE,
        mem_mb=megabytes(2000),
        runtime=minutes(10),
    params:
        spec=cell_spec("sparsity"),
        code=cell_code("sparsity"),
        job=job,
    shell:
        "{params.job} sparsity --spec {params.spec:q}"
        " --features {input.features:q} --output {output:q} 2> {log:q}"


# Put the seeds of a cell together first.
rule sparsity_images:
    input:
        losses=part_files("train"),
        features=part_files("features"),
    output:
        losses="results/cells/{experiment}.{cell}/train.nc",
        features="results/cells/{experiment}.{cell}/features.nc",
        sparsity="results/cells/{experiment}.{cell}/sparsity.nc",
    log:
        "results/logs/sparsity/{experiment}.{cell}.log",
    benchmark:
        "results/benchmarks/sparsity/{experiment}.{cell}.tsv"
    wildcard_constraints:
        experiment="|".join(IMAGES) or "none",
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        **SITE,
        mem_mb=megabytes(2000),
        runtime=minutes(10),
    params:
        spec=cell_spec("sparsity"),
        code=cell_code("sparsity"),
        seeds=lambda w: " ".join(cell_of(w).parts()),
        job=job,
    shell:
        "{params.job} sparsity_images --spec {params.spec:q} --seeds {params.seeds}"
        " --losses {input.losses:q} --features {input.features:q}"
        " --cell-losses {output.losses:q} --cell-features {output.features:q}"
        " --output {output.sparsity:q} 2> {log:q}"


# The settings of all cells are too long for a command line, so they travel in files.
rule spec:
    output:
        "results/specs/{table}.json",
    log:
        "results/logs/specs/{table}.log",
    benchmark:
        "results/benchmarks/specs/{table}.tsv"
    wildcard_constraints:
        table="aggregate|claims",
    localrule: True
    threads: 1
    resources:
        mem_mb=megabytes(100),
        runtime=minutes(5),
    params:
        spec=lambda w: SPECS[w.table],
    run:
        Path(output[0]).write_text(f"{params.spec}\n")
        Path(log[0]).touch()


rule aggregate:
    input:
        STORES,
        spec="results/specs/aggregate.json",
    output:
        tree="results/largestep.nc",
        made=touch(MADE),
    log:
        "results/logs/aggregate.log",
    benchmark:
        "results/benchmarks/aggregate.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(4000),
        runtime=minutes(120),
    params:
        spec=digest(SPECS["aggregate"]),
        code=RESULTS_KEY,
        job=job,
    shell:
        'rm -f "$(dirname {output.made:q})"/*.made; '
        "{params.job} aggregate --spec-file {input.spec:q} --spec-sha256 {params.spec}"
        " --output {output.tree:q} 2> {log:q}"
