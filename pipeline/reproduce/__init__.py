"""A row of a paper's table, from the downloaded dataset to the figure beside ours: ``mammo reproduce``."""
