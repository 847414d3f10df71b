"""The description of a bundle: a Workflow Run RO-Crate, by rocrate.

Profiles: Workflow Run Crate 0.5 and Process Run Crate 0.5, which are written for RO-Crate 1.1 and Workflow RO-Crate
1.0; hence that version of the specification, and not the latest, which rocrate would take.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

SPECIFICATION = "1.1"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
# Where `sha256` is a term; that of RO-Crate 1.1 has none.
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
WORKFLOW = "workflow/Snakefile"
# Named here: the table of the machine that packs would decide the bytes.
MEDIA = {
    ".cff": "application/yaml",
    ".csv": "text/csv",
    ".gif": "image/gif",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".nc": "application/x-netcdf",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".py": "text/x-python",
    ".rst": "text/x-rst",
    ".sh": "application/x-sh",
    ".tex": "application/x-tex",
    ".yaml": "application/yaml",
}


@dataclass(frozen=True)
class Study:
    """What is packed. values: of `--config`, as KEY=VALUE. version: of largestep, with the commit.

    stores: attributes by place in the bundle; sums, sizes: sha256 and bytes of every file but the metadata.
    """

    scale: str
    values: tuple[str, ...]
    version: str
    stores: Mapping[str, Mapping[str, object]]
    sums: Mapping[str, str]
    sizes: Mapping[str, int]


def crate(study: Study, citation: Path) -> bytes:
    """The text of `ro-crate-metadata.json`. citation: CITATION.cff, with title, authors, licence and the paper."""
    cited = yaml.safe_load(citation.read_text(encoding="utf-8"))
    with warnings.catch_warnings():
        # It looks at files in order to copy them, which is not asked of it.
        warnings.simplefilter("ignore")
        made = ROCrate(version=SPECIFICATION)
        made.metadata.extra_contexts.append(TERMS)
        _describe_root(made, study, cited)
        workflow = _add_workflow(made, study)
        _add_files(made, study)
        _add_run(made, study, workflow)
        return json.dumps(made.metadata.generate(), indent=1, sort_keys=True, ensure_ascii=False).encode()


def _entity(crate: ROCrate, identifier: str, kind: str, properties: Mapping[str, Any]) -> Any:
    return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))


def _describe_root(crate: ROCrate, study: Study, cited: Mapping[str, Any]) -> None:
    names = enumerate((each["name"] for each in cited["authors"]), 1)
    authors = [_entity(crate, f"#author-{index}", "Organization", {"name": name}) for index, name in names]
    paper = cited["preferred-citation"]
    article = {
        "name": paper["title"],
        "author": [_person(crate, each["given-names"], each["family-names"]) for each in paper["authors"]],
        "datePublished": str(paper["year"]),
        "url": paper["url"],
    }
    licence, terms = cited["license"], f"https://spdx.org/licenses/{cited['license']}"
    root = crate.root_dataset
    root["name"] = f"{cited['title']}, at scale {study.scale}"
    root["description"] = (
        f"A finished study of largestep {study.version}: configuration, stores, tables, figures and claims, with the "
        "code and the versions that made them. Unpacked, it is a checkout in which `make verify` and `make reproduce` "
        "run."
    )
    root["datePublished"] = _times(study)[-1]
    root["license"] = _entity(crate, terms, "CreativeWork", {"name": f"{licence} licence"})
    root["author"] = authors
    root["citation"] = _entity(crate, paper["url"], "ScholarlyArticle", article)
    root["conformsTo"] = [
        _entity(crate, profile, "CreativeWork", {"name": name, "version": number})
        for profile, (name, number) in PROFILES.items()
    ]


def _person(crate: ROCrate, given: str, family: str) -> Any:
    said = {"name": f"{given} {family}", "givenName": given, "familyName": family}
    return _entity(crate, f"#{family.lower()}", "Person", said)


def _add_workflow(crate: ROCrate, study: Study) -> Any:
    properties = {"name": "configuration", "additionalType": "File", "valueRequired": True}
    parameter = _entity(crate, "#configuration", "FormalParameter", {**properties, "conformsTo": {"@id": PARAMETER}})
    workflow = crate.add_workflow(
        dest_path=WORKFLOW,
        main=True,
        lang="snakemake",
        lang_version=version("snakemake"),
        properties=_file(study, WORKFLOW),
    )
    workflow["name"], workflow["version"], workflow["input"] = "largestep", study.version, [parameter]
    workflow["license"], workflow["author"] = crate.root_dataset["license"], crate.root_dataset["author"]
    libraries = {
        (key.removeprefix("version_"), str(value))
        for attributes in study.stores.values()
        for key, value in attributes.items()
        if key.startswith("version_")
    }
    workflow["softwareRequirements"] = [
        _entity(crate, f"#{name}-{number}", "SoftwareApplication", {"name": name, "softwareVersion": number})
        for name, number in sorted(libraries)
    ]
    return workflow


def _add_files(crate: ROCrate, study: Study) -> None:
    for name in sorted(study.sums):
        if name != WORKFLOW:
            # Without its place it would go by its base name, and stores of two cells be one.
            crate.add_file(dest_path=name, properties=_file(study, name))
    crate.add_file(dest_path="SHA256SUMS", properties={"name": "SHA256SUMS", "encodingFormat": "text/plain"})
    crate.dereference("config.yaml")["exampleOfWork"] = crate.dereference("#configuration")


def _file(study: Study, name: str) -> dict[str, Any]:
    """What is said of a file: of a store what it is and when it was made too."""
    said = study.stores.get(name, {})
    properties = {
        **{"name": str(said.get("title", name)), "sha256": study.sums[name], "contentSize": str(study.sizes[name])},
        "encodingFormat": MEDIA.get(Path(name).suffix),
        "dateCreated": said.get("created"),
    }
    return {key: value for key, value in properties.items() if value}


def _add_run(crate: ROCrate, study: Study, workflow: Any) -> None:
    given = [name for name in sorted(study.sums) if name == "config.yaml" or name.startswith("configfiles/")]
    values = [
        _entity(crate, f"#value-{index}", "PropertyValue", {"name": key, "value": value})
        for index, (key, _, value) in enumerate((each.partition("=") for each in study.values), 1)
    ]
    first, last = _times(study)
    action = {
        "name": f"largestep at scale {study.scale}",
        "instrument": workflow,
        "object": [*(crate.dereference(name) for name in given), *values],
        "result": [crate.dereference(name) for name in sorted(study.sums) if name.startswith("results/")],
        "startTime": first,
        "endTime": last,
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
    }
    crate.root_dataset["mentions"] = [_entity(crate, "#run", "CreateAction", action)]


def _times(study: Study) -> tuple[str, str]:
    """When the first store and the last were written, in UTC; the aggregate keeps no time."""
    times = sorted(str(said["created"]) for said in study.stores.values() if "created" in said)
    return times[0], times[-1]
