"""One version everywhere, and what CITATION.cff says of it and of the paper."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from largestep import __version__


def test_one_version_and_its_day(repository: Path) -> None:
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    [latest, *_] = re.findall(
        r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", (repository / "docs/CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert latest == (citation["version"], citation["date-released"])
    assert {project["version"], __version__, citation["version"]} == {__version__}
    assert project["license"] == citation["license"]


def test_what_is_cited_is_the_paper(repository: Path) -> None:
    """And the entry of BibTeX in docs/release.md says the same."""
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    paper = citation["preferred-citation"]
    assert citation["references"] == [paper]
    [entry] = re.findall(
        r"^```bibtex\n(.*?)^```$", (repository / "docs/release.md").read_text(), re.MULTILINE | re.DOTALL
    )
    authors = " and ".join(f"{each['family-names']}, {each['given-names']}" for each in paper["authors"])
    title = paper["title"].replace("SGD", "{SGD}")
    for line in (
        f"author = {{{authors}}}",
        f"title = {{{title}}}",
        f"year = {{{paper['year']}}}",
        f"url = {{{paper['url']}}}",
    ):
        assert line in entry
    # What cffconvert takes for BibTeX's url, and for one author with braces.
    assert citation["identifiers"][0]["value"] == paper["url"]
    assert [each["alias"] for each in citation["authors"]] == [f"{{{each['name']}}}" for each in citation["authors"]]
