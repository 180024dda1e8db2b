"""What the people who run the shop do: read mail, reconcile, redrive, replay."""
