"""Commands for operators: read mail, reconcile, redrive, replay."""
