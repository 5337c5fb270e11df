"""Seeds of random streams that have nothing in common."""

import numpy as np

__all__ = ["stream_seed"]


def stream_seed(*numbers: int) -> int:
    """One seed, 0 to 2^32 - 1, from several numbers such as a run's seed, an epoch and a rank.

    Sums would give seed 0 in epoch 2 the stream of seed 1 in epoch 1, and runs of several seeds would not be
    independent.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
