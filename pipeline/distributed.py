"""The end of a process that torchrun started."""

import atexit
import os
import sys

import torch

__all__ = ["leave"]


def leave() -> None:
    """Part from the other processes and, in ``python -m monai.bundle``, end at once, with status 0.

    The barrier comes first, because gloo aborts where one leaves while another still talks. Even then about one process
    in a hundred was seen to abort ("terminate called without an active exception") while the interpreter took itself
    apart under PyTorch's threads, and torchrun then calls a finished run a failed one. What is registered with
    ``atexit`` runs; a script that calls MONAI's ``run`` by itself goes on.
    """
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    started = getattr(sys.modules["__main__"], "__spec__", None)
    if started is not None and started.name == "monai.bundle.__main__":
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
