"""Seeds of random streams."""

from itertools import product

from mammo.pipeline.random_streams import stream_seed


def test_no_two_of_neighbouring_runs_epochs_and_ranks_share_a_stream():
    seeds = {stream_seed(*numbers) for numbers in product(range(8), range(50), range(4))}
    assert len(seeds) == 8 * 50 * 4
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert stream_seed(1, 2, 0) == stream_seed(1, 2, 0)
