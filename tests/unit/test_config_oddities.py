"""Words and settings that YAML, or a sum over nothing, takes otherwise than whoever wrote them: right, or one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from largestep import config
from largestep.config.overlays import layered

TINY = (Path(__file__).parents[1] / "tiny/config.yaml").read_text()
SEEDS, SIZE, TITLE = "seeds: 6,", "small: {step_size: 0.1,", "title: Tiny diagonal network"
DIAGONAL = "experiments.diagonal"
# Of a model that nothing else rests on.
OF_SLICE = "v: 0.0}\n    steps: 401"


def written(folder: Path, old: str, new: str) -> Path:
    assert old in TINY
    path = folder / "config.yaml"
    path.write_text(TINY.replace(old, new, 1), encoding="utf-8")
    return path


REFUSED = {
    "octal": (SEEDS, "seeds: 010,", f"{DIAGONAL}.training.seeds: 010 is octal in YAML, and means 8; write 10 or 8"),
    "octal of YAML 1.2": (SEEDS, "seeds: 0o10,", f"{DIAGONAL}.training.seeds: 0o10 is text in YAML 1.1; write 8"),
    "no octal": (SEEDS, "seeds: 09,", f"{DIAGONAL}.training.seeds: 09 is text in YAML; write 9"),
    "base 60": (SEEDS, "seeds: 1:30,", f"{DIAGONAL}.training.seeds: 1:30 is a number to the base 60 in YAML, 90"),
    "base 60, float": (SIZE, "small: {step_size: 1:0.5,", "1:0.5 is a number to the base 60 in YAML, 60.5"),
    "truth for a number": (SEEDS, "seeds: on,", f"{DIAGONAL}.training.seeds: must be a number, not true"),
    "truth for a text": (TITLE, "title: off", f"{DIAGONAL}.title: must be text, but YAML takes this for false"),
    "number for a text": (TITLE, "title: 12", f"{DIAGONAL}.title: must be text, but YAML takes this for 12"),
    "date for a text": (
        TITLE,
        "title: 2020-01-01",
        f"{DIAGONAL}.title: 2020-01-01 is a date in YAML; put it in",
    ),
    "truth as a name": (SIZE, "on: {step_size: 0.1,", f"{DIAGONAL}.cells: on is true in YAML, not a name"),
    "number as a name": (SIZE, "1: {step_size: 0.1,", f"{DIAGONAL}.cells: 1 is 1 in YAML, not a name"),
    "a comma in a number": (
        SIZE,
        "small: {step_size: 0,25,",
        "25 is 25 in YAML, not a name; put it in quotes, or write a point",
    ),
    "such a number in quotes": (
        SIZE,
        "small: {step_size: '0,25',",
        "step_size: '0,25' is text in YAML; write 0.25, without",
    ),
    "such a number of three digits": (
        SIZE,
        "small: {step_size: '0,125',",
        "step_size: '0,125' is text in YAML; write 0.125, without",
    ),
    "a comma that parts thousands": (
        SEEDS,
        "seeds: '1,000',",
        "seeds: input should be a valid integer (given: '1,000')",
    ),
    "one for a list": ("[curves, progress, stab", "curves #[", f"{DIAGONAL}.views: must be a list; write [curves]"),
    "a misspelt key": (
        SEEDS,
        "seds: 6,",
        f"{DIAGONAL}.training.seds: unknown key; check its spelling or remove it; did you mean seeds?",
    ),
    "null as a name": (SIZE, "~: {step_size: 0.1,", f"{DIAGONAL}.cells: ~ is none in YAML, not a name"),
    "a name that Snakemake takes for a loop": (SIZE, f"{'ab' * 20}: {{step_size: 0.1,", "'ab' 20 times or more"),
    "exponent without a point": (SIZE, "small: {step_size: 1e-3,", "1e-3 is text in YAML; write 1.0e-3"),
    "exponent without a sign": (SIZE, "small: {step_size: 1.0e2,", "1.0e2 is text in YAML; write 1.0e+2"),
    "exponent in quotes": (SIZE, "small: {step_size: '1.5e-3',", "'1.5e-3' is text in YAML; write 1.5e-3, without"),
    "whole number with an exponent": (SEEDS, "seeds: 1e2,", "write 1.0e+2, or 100 for a whole number"),
    "whole number with a point": (SEEDS, "seeds: 6.0,", "training.seeds: must be a whole number; write 6"),
    "a key twice": ("steps: 401,", "steps: 401, steps: 402,", "the name 'steps' is given twice"),
    "a threshold twice": ("[1.0e-15, 1.0e-4]", "[1.0e-4, 1.0e-4]", "measures.rank_thresholds: 0.0001 is listed twice"),
    "a figure twice": ("[curves, progress, stab", "[curves, curves, stab", f"{DIAGONAL}.views: curves is listed twice"),
    "tabs": (f"    {TITLE}", f"\t{TITLE}", "line 6: while scanning for the next token, found character '\\t'"),
    "all above the scale": ("    scale: laptop", "    scale: paper", "scale: no experiment runs at scale laptop"),
    "one training step": ("steps: 401,", "steps: 1,", "training.steps: input should be greater than or equal to 2"),
    "u and v of 0": ("u: 0.1, v: 0.0", "u: 0, v: 0", f"{DIAGONAL}.model: u and v are both 0"),
    "two layers of 0": (
        "[{units: 4, weight: {law: gaussian}},",
        "[{units: 4, weight: {law: gaussian, scale: 0.0}},",
        "experiments.teacher.model: two layers have weight.scale 0",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line_that_names_what_works(tmp_path: Path, case: str) -> None:
    old, new, message = REFUSED[case]
    path = written(tmp_path, old, new)
    if case == "all above the scale":
        path.write_text(TINY.replace(old, new))
    with pytest.raises(config.ConfigError) as refused:
        config.load(path)
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("number", "works"),
    [
        *[
            ("1e-3", "1.0e-3"),
            ("1.0e2", "1.0e+2"),
            ("1e2", "1.0e+2"),
            (".5e3", ".5e+3"),
            ("-2e5", "-2.0e+5"),
            ("09", "9"),
        ],
        *[("+.2", "+0.2"), ("-.5", "-0.5"), ("-.5e3", "-0.5e+3")],
    ],
)
def test_what_is_named_works(tmp_path: Path, number: str, works: str) -> None:
    with pytest.raises(config.ConfigError, match=re.escape(f"{number} is text in YAML; write {works}") + "[,;]"):
        config.load(written(tmp_path, OF_SLICE, OF_SLICE.replace("0.0", number)))
    model = config.load(written(tmp_path, OF_SLICE, OF_SLICE.replace("0.0", works))).studies["loss_slice"].model
    assert model.v == float(number)


ACCEPTED = {
    "hexadecimal": (SEEDS, "seeds: 0x10,", lambda c: c.experiments["diagonal"].training.seeds == 16),
    "underscores": ("steps: 401,", "steps: 4_01,", lambda c: c.experiments["diagonal"].training.steps == 401),
    "in quotes": (TITLE, "title: '010'", lambda c: c.experiments["diagonal"].title == "010"),
    "a name in quotes": (
        "      cosine: {step",
        "      'off': {step",
        lambda c: "off" in c.experiments["digits_mlp"].cells,
    ),
    "truth for truth": (
        "crop_padding: 1, flip: true",
        "crop_padding: 1, flip: on",
        lambda c: c.experiments["digits_mlp"].training.augmentation.flip is True,
    ),
    "whole number for a real one": (SIZE, "small: {step_size: 1,", lambda c: c.experiments["diagonal"].cells["small"]),
    "a byte-order mark": ("# The whole", "\ufeff# The whole", lambda c: c.scale == "laptop"),
    "one seed": (SEEDS, "seeds: 1,", lambda c: c.experiments["diagonal"].training.seeds == 1),
    "one test example": ("test_examples: 20, seed: 0", "test_examples: 1, seed: 0", lambda c: True),
    "published 0": ("test_loss: 1.0e-3, rank: 10", "test_loss: 0, rank: 0", lambda c: True),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_taken_as_it_is_meant(tmp_path: Path, case: str) -> None:
    old, new, right = ACCEPTED[case]
    assert right(config.load(written(tmp_path, old, new)))


def test_in_other_encodings_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for raw in (TINY.encode("utf-16"), TINY.replace("Tiny", "Tïny").encode("latin-1")):
        path.write_bytes(raw)
        with pytest.raises(config.ConfigError, match=r"byte \d+ is not UTF-8 .*; save it as UTF-8$"):
            config.load(path)
    plain = config.parse(config.read(written(tmp_path, TITLE, TITLE)), "c")
    for end in ("\r\n", "\r"):
        path.write_bytes(TINY.replace("\n", end).encode())
        assert config.load(path) == plain


def test_options_of_own_code_are_numbers_where_they_look_like_it(tmp_path: Path) -> None:
    """Nothing else checks their types: a network would get a text, or 8 for 010."""
    for value, message in (("1e-3", "write 1.0e-3"), ("010", "write 10 or 8"), ("1:30", "write 90")):
        path = written(
            tmp_path, "{kind: resnet18, width: 2}", f"{{kind: my.Net, options: {{p: {value}}}, blocks: [a]}}"
        )
        with pytest.raises(config.ConfigError, match=rf"experiments\.digits\.model\.options\.p: {value} .*{message}"):
            config.load(path)


def test_an_odd_value_that_another_file_replaces_does_no_harm(tmp_path: Path) -> None:
    base = written(tmp_path, SEEDS, "seeds: 010,")
    above = tmp_path / "above.yaml"
    above.write_text("experiments: {diagonal: {training: {seeds: 3}}}")
    assert layered([base, above], {}).experiments["diagonal"].training.seeds == 3
    with pytest.raises(config.ConfigError, match="010 is octal"):
        layered([base], {})
