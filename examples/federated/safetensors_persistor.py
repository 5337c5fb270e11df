"""The server's copy of the global weights, as safetensors: the server needs no network, no MONAI and no pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.model import ModelLearnable, ModelLearnableKey, make_model_learnable
from nvflare.app_common.abstract.model_persistor import ModelPersistor
from safetensors.numpy import load_file, save_file


class SafetensorsPersistor(ModelPersistor):
    """Read the first global weights from a file; write them after every round.

    Args:
        start: the weights of round 0, on the server.
        file: its name in the job's folder on the server, for the weights of the last round.
    """

    def __init__(self, start: str, file: str = "global.safetensors") -> None:
        super().__init__()
        self.start = start
        self.file = file

    def load_model(self, fl_ctx: FLContext) -> ModelLearnable:
        """The weights every site starts from."""
        return make_model_learnable(load_file(self.start), {})

    def save_model(self, model: ModelLearnable, fl_ctx: FLContext) -> None:
        """Replace the file as a whole."""
        path = Path(fl_ctx.get_workspace().get_result_root(fl_ctx.get_job_id()), self.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        # FLARE's average of an array without axes, such as the counter of a batch norm, is a plain number.
        save_file({name: np.asarray(values) for name, values in model[ModelLearnableKey.WEIGHTS].items()}, part)
        part.replace(path)
