# Prepare each image data set once, from its archives, in the form that training maps into memory.


rule images:
    output:
        "results/images/{images}.safetensors",
    log:
        "results/logs/images/{images}.log",
    benchmark:
        "results/benchmarks/images/{images}.tsv"
    wildcard_constraints:
        images="|".join(map(re.escape, IMAGE_SETS)) or "none",
    # What the longest jobs wait for.
    priority: 100
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        **SITE,
        mem_mb=megabytes(6000),
        runtime=minutes(120),
    params:
        spec=lambda w: IMAGE_SETS[w.images].spec("images"),
        code=lambda w: IMAGE_SETS[w.images].code("images"),
        job=job,
    shell:
        "{params.job} images --spec {params.spec:q} --output {output:q} 2> {log:q}"
