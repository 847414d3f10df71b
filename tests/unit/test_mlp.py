"""Dense layers on flattened images."""

from __future__ import annotations

import torch

from largestep.models import networks
from largestep.models.mlp import MLP
from tests.settings import as_settings


def test_it_computes_matrix_products_with_relu_between_them() -> None:
    net = networks.draw(as_settings({"kind": "mlp", "hidden": [5, 4]}), 2, 3, (2, 3), 0)
    images = torch.rand(6, 2, 2, 3)
    state = net.state_dict()
    first = (images.reshape(6, 12) @ state["layers.0.weight"].T + state["layers.0.bias"]).clamp_min(0)
    second = (first @ state["layers.1.weight"].T + state["layers.1.bias"]).clamp_min(0)
    for block, expected in zip(net.blocks(images), (first, second), strict=True):
        torch.testing.assert_close(block, expected)
    torch.testing.assert_close(net(images), second @ state["head.weight"].T + state["head.bias"])


def test_it_has_a_part_for_every_layer() -> None:
    assert list(MLP(12, 3, [5, 4, 3]).parts()) == ["layer 1", "layer 2", "layer 3", "head"]
