"""The edge: renders and checks Envoy's configuration."""
