"""The overlay of docs/fashion_mnist.md is a configuration that runs what it says."""

from __future__ import annotations

from largestep import config, grid
from tests.conftest import REPOSITORY


def test_it_has_three_seeds_of_four_schedules_on_all_images() -> None:
    files = [REPOSITORY / "config.yaml", REPOSITORY / "config/fashion_mnist_full.yaml"]
    settings = config.layered(files, {})
    cells = grid.cells(settings)
    assert len(cells) == 8
    for cell in cells.values():
        assert cell.settings.examples() == 60_000
        assert [*cell.parts().values()] == [range(3)]
    [images] = grid.image_sets(settings)
    assert images == "fashion_mnist"
    pilot = grid.cells(config.layered(files, {"only": ["fashion_mnist_full_size"]}))
    assert len(pilot) == 4
