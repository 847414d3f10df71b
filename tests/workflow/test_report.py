"""The report: one file, complete, with links that lead somewhere, as Debian's Chromium shows it and prints it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import pytest

from largestep.report import page, workflow
from largestep.report.pictures import pictures
from tests.conftest import Project

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ODD = "<b>bold</b> & <script>document.title='run'</script>"
# What a browser finds, told to the page around it.
ASKED = """<script>
onerror = (message) => (window.failed = (window.failed || []).concat(message));
onload = () => {
  const all = [...document.images];
  const links = [...document.querySelectorAll("a[href]")].map((each) => each.getAttribute("href"));
  const sizes = [...document.querySelectorAll("p, td, th, a")].map((e) => parseFloat(getComputedStyle(e).fontSize));
  parent.postMessage("found " + JSON.stringify({
    images: all.length,
    broken: all.filter((each) => !each.complete || !each.naturalWidth || !each.alt).map((each) => each.alt),
    dangling: links.filter((href) => href[0] == "#" && !document.getElementById(href.slice(1))),
    others: links.filter((href) => href[0] != "#" && !href.startsWith("https://")),
    sideways: document.documentElement.scrollWidth - innerWidth,
    smallest: Math.min(...sizes),
    drawn: Math.min(...all.filter((each) => each.src.startsWith("data:image/png")).map(
      (each) => each.width / each.naturalWidth * 250 * 7 / 72)),
    cut: [...document.querySelectorAll(".first, .first div")].filter(
      (each) => each.scrollWidth > each.clientWidth).length,
    failed: window.failed || [],
  }), "*");
};
</script>"""
# Chromium's windows have a least width; a frame has none.
AROUND = """<title></title><script>onmessage = (said) => (document.title = said.data);</script>
<iframe src="asked.html" width="{width}" height="900"></iframe>"""


@pytest.fixture(scope="module")
def report(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the tiny project, one of whose experiments has markup in its title."""
    project = finished.copy(tmp_path_factory.mktemp("report") / "project")
    title = re.search(r"\n  diagonal:\n    title: (.*)\n", (project.folder / "config.yaml").read_text())
    assert title
    project.edit("config.yaml", f"title: {title[1]}\n", f"title: {json.dumps(ODD)}\n")
    project.snakemake("--cores", "1", "--reporter", "largestep")
    return project.folder / "results/report.html"


def test_is_one_file_with_a_page_for_everything(report: Path, finished: Project) -> None:
    text = report.read_text()
    assert text.count("<section") == text.count("</section>")
    figures = {path.name for path in (finished.folder / "results/figures").iterdir() if path.suffix in (".png", ".gif")}
    shown = re.findall(r'<figure id="figure-([^"]+)"', text)
    assert sorted(shown) == sorted(name.replace(".", "-") for name in figures)
    for name in ("diagonal", "points", "teacher", "digits", "flows", "controls", "bouncing"):
        assert f'<section class="page" id="{name}">' in text
    # The verdicts come first, and nothing is fetched from elsewhere.
    assert text.index("Which claims hold") < text.index('class="page"')
    # Without scripts a page can be used as soon as it is read; how soon that is hangs on what else computes.
    assert "<script" not in text
    assert not re.findall(r'<(?:link|img|iframe)[^>]+(?:src|href)="(?!data:)', text)
    for asked in ("What diverged", "The paper&#39;s values beside ours", "<summary>Settings</summary>", "Run times"):
        assert unescape(asked) in unescape(text)


def test_names_with_markup_are_text(report: Path) -> None:
    text = report.read_text()
    assert ODD not in text
    assert f"<h2>{escape(ODD)}</h2>" in text.replace("&#39;", "&#x27;")


def test_links_of_snakemakes_own_are_links_within_the_page() -> None:
    given = (
        """<a href="javascript:app.showCategory('Claims')">c</a> <a href="javascript:show_panel('statistics')">s</a>"""
    )
    assert page.linked(given) == '<a href="#claims">c</a> <a href="#times">s</a>'


def test_the_drawing_of_the_rules_has_each_below_its_inputs() -> None:
    drawn = workflow.drawing({"all": {"<b>"}, "<b>": {"train"}, "train": set()})
    heights = {
        unescape(name): float(y) for y, name in re.findall(r'<text x="\S+" y="(\S+)"[^>]*>([^<]*)</text>', drawn)
    }
    assert heights["train"] < heights["<b>"] < heights["all"]
    assert drawn.count("<path") == 2


def test_a_figure_is_shown_page_by_page_with_what_it_says_of_itself(finished: Project) -> None:
    (figure,) = pictures(finished.folder / "results/figures/points_fits.png")
    assert figure.width > 1000
    assert "training points" in figure.text or "output" in figure.text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(report: Path, tmp_path: Path, width: int) -> None:
    # All pictures at once, not those below the window when somebody gets there.
    text = report.read_text().replace('loading="lazy"', "").replace("<head>", f"<head>{ASKED}", 1)
    # As long as the names of the study at laptop scale.
    text = text.replace("asked: below", "(diagonal_controls_new_data/duration_larger_step), asked: below")
    (tmp_path / "asked.html").write_text(text)
    around = tmp_path / "around.html"
    around.write_text(AROUND.format(width=width))
    done = browser(tmp_path, "--window-size=1400,1000", "--virtual-time-budget=20000", "--dump-dom", around.as_uri())
    said = re.search(r"<title>found (.*?)</title>", done.stdout)
    assert said, done.stdout + done.stderr
    shown = json.loads(unescape(said[1]))
    assert shown["images"] == report.read_text().count("<img ")
    for nothing in ("broken", "dangling", "others", "failed"):
        assert shown[nothing] == [], nothing
    # Tables that are wider scroll by themselves, so that text fits the width of the window.
    assert shown["sideways"] <= 0
    assert shown["smallest"] >= 11
    # Figures too, whose text is of 7 points at 250 pixels an inch; and the verdicts are read without scrolling.
    assert shown["drawn"] >= 8
    assert shown["cut"] == 0
    assert not re.findall(r"CONSOLE.*", done.stderr)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_prints_every_page(report: Path, tmp_path: Path) -> None:
    printed = tmp_path / "report.pdf"
    browser(tmp_path, f"--print-to-pdf={printed}", "--no-pdf-header-footer", report.as_uri())
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", printed.read_bytes()))
    assert pages > report.read_text().count('class="page"')


def browser(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Debian's Chromium without a window; it writes what pages log to stderr."""
    fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr")
    command = [str(CHROMIUM), *fixed, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
