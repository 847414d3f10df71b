# Figures, tables and verdicts, all read from results/largestep.nc and marked for the report.


rule figure:
    input:
        tree="results/largestep.nc",
        made=MADE,
    output:
        png=report(
            "results/figures/{experiment}_{view}.png",
            caption="../report/caption.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"experiment": "{experiment}", "view": "{view}"},
        ),
        pdf="results/figures/{experiment}_{view}.pdf",
    log:
        "results/logs/figures/{experiment}_{view}.log",
    benchmark:
        "results/benchmarks/figures/{experiment}_{view}.tsv"
    wildcard_constraints:
        experiment="|".join(EXPERIMENTS),
        view="|".join({view: None for _, view in VIEWS}),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        **SITE,
        mem_mb=megabytes(2000),
        runtime=minutes(10),
    params:
        code=lambda w: stages.code("figures", w.view),
        data=RESULTS_KEY,
        caption=lambda w: captions.of_view(EXPERIMENTS[w.experiment], w.view),
        job=job,
    shell:
        "{params.job} figures --experiment {wildcards.experiment} --view {wildcards.view}"
        " --input {input.tree:q} --png {output.png:q} --pdf {output.pdf:q} 2> {log:q}"


rule table:
    input:
        tree="results/largestep.nc",
        made=MADE,
    output:
        csv=report(
            "results/tables/{experiment}.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"experiment": "{experiment}"},
        ),
        md="results/tables/{experiment}.md",
        tex="results/tables/{experiment}.tex",
    log:
        "results/logs/tables/{experiment}.log",
    benchmark:
        "results/benchmarks/tables/{experiment}.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(10),
    params:
        code=stages.code("tables"),
        data=RESULTS_KEY,
        job=job,
    shell:
        "{params.job} tables --experiment {wildcards.experiment} --input {input.tree:q}"
        " --csv {output.csv:q} --md {output.md:q} --tex {output.tex:q} 2> {log:q}"


rule claims:
    input:
        tree="results/largestep.nc",
        made=MADE,
        spec="results/specs/claims.json",
    output:
        csv=report(
            "results/claims.csv", caption="../report/claims.rst", category="Claims"
        ),
        md="results/claims.md",
        summary_csv=report(
            "results/summary.csv", caption="../report/summary.rst", category="Claims"
        ),
        summary_md="results/summary.md",
        # For the first page of the report, workflow/report/workflow.rst.
        summary_rst="results/summary.rst",
    log:
        "results/logs/claims.log",
    benchmark:
        "results/benchmarks/claims.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(10),
    params:
        spec=digest(SPECS["claims"]),
        code=stages.code("claims"),
        data=RESULTS_KEY,
        job=job,
    shell:
        "{params.job} claims --spec-file {input.spec:q} --spec-sha256 {params.spec} --input {input.tree:q}"
        " --csv {output.csv:q} --md {output.md:q} --summary-csv {output.summary_csv:q}"
        " --summary-md {output.summary_md:q} --summary-rst {output.summary_rst:q} 2> {log:q}"


rule scorecard:
    input:
        claims="results/claims.csv",
        summary="results/summary.csv",
    output:
        png=report(
            "results/figures/scorecard.png",
            caption="../report/scorecard.rst",
            category="Claims",
        ),
        pdf="results/figures/scorecard.pdf",
    log:
        "results/logs/figures/scorecard.log",
    benchmark:
        "results/benchmarks/figures/scorecard.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(10),
    params:
        code=stages.code("figures.scorecard"),
        data=digest(RESULTS_KEY, SPECS["claims"], stages.code("claims")),
        job=job,
    shell:
        "{params.job} figures.scorecard --claims {input.claims:q} --summary {input.summary:q}"
        " --png {output.png:q} --pdf {output.pdf:q} 2> {log:q}"
