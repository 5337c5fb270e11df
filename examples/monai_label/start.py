"""Starts MONAI Label, as its own command ``monailabel`` does, where torch is a build without CUDA, too.

torchvision's wheels are built for torch with CUDA. Beside another torch their operators do not load, and importing
torchvision, which MONAI Label always does, fails where it describes two of them. Named beforehand, they may stay
without a body: nothing that a localisation bundle does calls them.
"""

from __future__ import annotations

import torch

MISSING = ("nms", "qnms")
"""Operators of torchvision that it describes whether they are there or not."""


def name_operators() -> torch.library.Library | None:
    """Name torchvision's operators where its own library will not; keep what is returned as long as they are needed."""
    if torch.version.cuda is not None:
        return None
    library = torch.library.Library("torchvision", "DEF")
    for name in MISSING:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


if __name__ == "__main__":
    named = name_operators()
    from monailabel.main import Main

    Main().run()
