"""The same network with nothing learnt: what survives in its maps was never learnt (arXiv:1810.03292)."""

from __future__ import annotations

import torch
from torch import nn

TABLE_STD = 0.02
"""Spread of parameters that no module of torch owns, such as tables of relative positions, as Swin starts them."""


@torch.no_grad()
def randomise(network: nn.Module, seed: int) -> None:
    """Draw every parameter of ``network`` anew, in place: the full randomisation of Adebayo et al. 2018.

    Modules of torch start as torch starts them, running means of batch norm included; other parameters are drawn
    from a normal distribution.

    Args:
        network: whose weights are lost.
        seed: of the weights; torch's own random state is left as it is.
    """
    devices = {parameter.get_device() for parameter in network.parameters()} - {-1}  # -1: the CPU
    with torch.random.fork_rng(devices=sorted(devices)):
        torch.manual_seed(seed)
        renewed: set[int] = set()
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
                renewed |= {id(parameter) for parameter in module.parameters(recurse=False)}
        for parameter in network.parameters():
            if id(parameter) not in renewed:
                parameter.normal_(std=TABLE_STD)
