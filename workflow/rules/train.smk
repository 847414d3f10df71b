# Train every seed of a cell. Image cells have a rule of their own: they take longest, so they start first.


rule train:
    input:
        data="results/data/{experiment}.nc",
    output:
        losses="results/cells/{experiment}.{cell}/train.nc",
        snapshots="results/cells/{experiment}.{cell}/snapshots.nc",
    log:
        "results/logs/train/{experiment}.{cell}.log",
    benchmark:
        "results/benchmarks/train/{experiment}.{cell}.tsv"
    wildcard_constraints:
        experiment="|".join(TOYS) or "none",
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        spec=cell_spec("train"),
        code=cell_code("train"),
    shell:
        "python -m largestep.train --spec {params.spec:q} --threads {threads} --data {input.data:q}"
        " --output {output.losses:q} --snapshots {output.snapshots:q} 2> {log:q}"


use rule train as train_images with:
    wildcard_constraints:
        experiment="|".join(IMAGES) or "none",
    priority: 100
    resources:
        mem_mb=6000,
        runtime=240,
