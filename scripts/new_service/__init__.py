"""Creates a service from templates: its folder, its protos and its block in compose.yaml."""
