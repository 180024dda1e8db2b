"""Tools behind scripts/gen, scripts/check and scripts/test."""
