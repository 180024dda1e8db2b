"""The protos: generated code, the descriptor set and what it says about the methods."""
