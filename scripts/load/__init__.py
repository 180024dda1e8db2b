"""Load: a catalog of many made-up products, and what its use costs."""
