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
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        spec=cell_spec("sparsity"),
        code=cell_code("sparsity"),
    shell:
        "python -m largestep.sparsity --spec {params.spec:q}"
        " --features {input.features:q} --output {output:q} 2> {log:q}"


rule aggregate:
    input:
        [f"results/data/{name}.nc" for name in TOYS],
        [
            f"results/cells/{cell}/{stage}.nc"
            for cell in CELLS
            for stage in ("train", "features", "sparsity")
        ],
        [f"results/studies/{name}.nc" for name in STUDIES],
    output:
        "results/largestep.nc",
    log:
        "results/logs/aggregate.log",
    benchmark:
        "results/benchmarks/aggregate.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=grid.aggregate_spec(CONFIG),
        code=RESULTS_KEY,
    shell:
        "python -m largestep.aggregate --spec {params.spec:q}"
        " --results results --output {output:q} 2> {log:q}"
