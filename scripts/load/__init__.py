"""Load: a catalog of many made-up products, what its use costs, and customers who order."""
