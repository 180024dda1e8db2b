"""How good and how quick the recommendations are, on a graph of their own."""
