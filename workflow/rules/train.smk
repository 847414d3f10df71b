# Train every seed of a cell. Image classifiers have a rule of their own: they take longest, so they start first.


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
        **SITE,
        mem_mb=megabytes(3000),
        runtime=minutes(30),
    params:
        spec=cell_spec("train"),
        code=cell_code("train"),
        job=job,
    shell:
        "{params.job} train --spec {params.spec:q} --threads {threads} --data {input.data:q}"
        " --output {output.losses:q} --snapshots {output.snapshots:q} 2> {log:q}"


# Some seeds of a cell, as many as one job trains: several GPUs share a cell, and what fails costs no other seed.
# Checkpoints lie outside of the outputs, which Snakemake deletes when a job fails: a killed job continues from them.
rule train_images:
    input:
        data=data_file,
    output:
        losses="results/cells/{experiment}.{cell}/seeds/{seeds}/train.nc",
        # Large, and needed for the features alone; --notemp keeps them.
        snapshots=temp("results/cells/{experiment}.{cell}/seeds/{seeds}/snapshots.nc"),
    log:
        "results/logs/train/{experiment}.{cell}.{seeds}.log",
    benchmark:
        "results/benchmarks/train/{experiment}.{cell}.{seeds}.tsv"
    wildcard_constraints:
        experiment="|".join(IMAGES) or "none",
    priority: 100
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        **GPU_SITE,
        mem_mb=megabytes(6000),
        runtime=minutes(1440),
        gpu=GPUS_PER_JOB,
    params:
        spec=part_spec("train"),
        code=cell_code("train"),
        # Not recorded, since it asks for the threads.
        checkpoints=lambda w, threads: f"{CHECKPOINTS}/{w.experiment}.{w.cell}.{w.seeds}",
        job=job,
    shell:
        "{params.job} train_images --spec {params.spec:q} --threads {threads} --data {input.data:q}"
        " --checkpoints {params.checkpoints:q}"
        " --output {output.losses:q} --snapshots {output.snapshots:q} 2> {log:q}"
