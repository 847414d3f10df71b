"""The layout of flat parameters against torch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from largestep.models import dense
from largestep.models.flat import layers_of, layout_of
from tests.settings import as_settings

LAW = {"law": "gaussian", "scale": 0.7}


@pytest.mark.parametrize("biased", [(True, False, True), (False, False, False), (True, True, True)])
def test_layers_are_those_of_torch(biased: tuple[bool, ...]) -> None:
    layers: list[Any] = as_settings(
        [
            {"units": units, "weight": LAW, "bias": LAW if bias else None}
            for units, bias in zip((4, 3, 1), biased, strict=True)
        ]
    )
    flat = np.stack([dense.draw(2, layers, seed) for seed in range(2)])
    layout = layout_of(2, layers)
    views = layers_of(flat, layout)
    np.testing.assert_array_equal(layout.widths, [2, 4, 3, 1])
    for seed, parameters in enumerate(flat):
        net = dense.network(2, layers)
        torch.nn.utils.vector_to_parameters(torch.from_numpy(parameters), net.parameters())
        linears = [part for part in net if hasattr(part, "weight")]
        for linear, (weights, biases) in zip(linears, views, strict=True):
            np.testing.assert_array_equal(weights[seed], linear.weight.detach())
            assert (biases is None) == (linear.bias is None)
            if biases is not None:
                np.testing.assert_array_equal(biases[seed], linear.bias.detach())
    assert np.shares_memory(views[0][0], flat)  # views, not copies
