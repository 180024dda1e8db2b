"""The invariants of the shop: what must hold of its records, whatever failed before."""
