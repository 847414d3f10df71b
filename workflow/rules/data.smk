# Draw the data sets of each toy problem.


rule data:
    output:
        "results/data/{experiment}.nc",
    log:
        "results/logs/data/{experiment}.log",
    benchmark:
        "results/benchmarks/data/{experiment}.tsv"
    wildcard_constraints:
        experiment="|".join(TOYS) or "none",
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        **SITE,
        mem_mb=megabytes(2000),
        runtime=minutes(10),
    params:
        spec=data_spec,
        code=data_code,
        job=job,
    shell:
        "{params.job} data --spec {params.spec:q}" " --output {output:q} 2> {log:q}"
