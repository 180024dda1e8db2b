"""What compose.yaml has done once, before the containers that need it start."""
