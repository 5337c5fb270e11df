"""A trained classifier as a MONAI bundle that travels: weights in four forms, checked against one another."""
