# Extract what the measures need of each snapshot.


rule features:
    input:
        data=data_file,
        snapshots="results/cells/{experiment}.{cell}/snapshots.nc",
    output:
        "results/cells/{experiment}.{cell}/features.nc",
    log:
        "results/logs/features/{experiment}.{cell}.log",
    benchmark:
        "results/benchmarks/features/{experiment}.{cell}.tsv"
    wildcard_constraints:
        experiment="|".join(TOYS) or "none",
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        **SITE,
        mem_mb=megabytes(4000),
        runtime=minutes(30),
    params:
        spec=cell_spec("features"),
        code=cell_code("features"),
        job=job,
    shell:
        "{params.job} features --spec {params.spec:q} --threads {threads} --data {input.data:q}"
        " --snapshots {input.snapshots:q} --output {output:q} 2> {log:q}"


# Of the seeds that one job trained. Before the next are trained: large snapshots wait for it.
use rule features as features_images with:
    input:
        data=data_file,
        snapshots="results/cells/{experiment}.{cell}/seeds/{seeds}/snapshots.nc",
    output:
        "results/cells/{experiment}.{cell}/seeds/{seeds}/features.nc",
    log:
        "results/logs/features/{experiment}.{cell}.{seeds}.log",
    benchmark:
        "results/benchmarks/features/{experiment}.{cell}.{seeds}.tsv"
    wildcard_constraints:
        experiment="|".join(IMAGES) or "none",
    priority: 200
    resources:
        **GPU_SITE,
        mem_mb=megabytes(6000),
        runtime=minutes(240),
        gpu=GPUS_PER_JOB,
    params:
        spec=part_spec("features"),
        code=cell_code("features"),
        job=job,
