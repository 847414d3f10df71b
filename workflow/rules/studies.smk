# Studies: evidence that is not a cell. Each is one job with one store and one figure, some with an animation.


rule study:
    output:
        "results/studies/{study}.nc",
    log:
        "results/logs/studies/{study}.log",
    benchmark:
        "results/benchmarks/studies/{study}.tsv"
    # The longest single jobs: they start first.
    priority: 50
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        **SITE,
        mem_mb=megabytes(4000),
        runtime=minutes(60),
    params:
        spec=lambda w: grid.study_spec(CONFIG, w.study),
        code=lambda w: grid.study_code(CONFIG, w.study),
        job=job,
    shell:
        "{params.job} studies --spec {params.spec:q} --threads {threads}"
        " --output {output:q} 2> {log:q}"


rule study_figure:
    input:
        "results/studies/{study}.nc",
    output:
        png=report(
            "results/figures/{study}.png",
            caption="../report/caption.rst",
            category="Studies",
            labels={"study": "{study}"},
        ),
        pdf="results/figures/{study}.pdf",
    log:
        "results/logs/figures/{study}.log",
    benchmark:
        "results/benchmarks/figures/{study}.tsv"
    wildcard_constraints:
        study="|".join(STUDIES) or "none",
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        **SITE,
        mem_mb=megabytes(2000),
        runtime=minutes(10),
    params:
        code=lambda w: stages.code("figures", STUDIES[w.study].kind),
        data=lambda w: grid.study_made_from(CONFIG, w.study),
        kind=lambda w: STUDIES[w.study].kind,
        caption=lambda w: captions.of_study(STUDIES[w.study]),
        job=job,
    shell:
        "{params.job} figures --view {params.kind} --input {input:q} --made-from {params.data}"
        " --png {output.png:q} --pdf {output.pdf:q} 2> {log:q}"


rule animation:
    input:
        "results/studies/{study}.nc",
    output:
        report(
            "results/figures/{study}.gif",
            caption="../report/caption.rst",
            category="Studies",
            labels={"study": "{study}, animated"},
        ),
    log:
        "results/logs/figures/{study}_animation.log",
    benchmark:
        "results/benchmarks/figures/{study}_animation.tsv"
    wildcard_constraints:
        study="|".join(ANIMATED) or "none",
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        **SITE,
        mem_mb=megabytes(2000),
        runtime=minutes(10),
    params:
        code=stages.code("animation"),
        data=lambda w: grid.study_made_from(CONFIG, w.study),
        caption=lambda w: captions.of_study(STUDIES[w.study]),
        job=job,
    shell:
        "{params.job} animation --input {input:q} --made-from {params.data} --output {output:q} 2> {log:q}"
