"""Commands for operators: logs, doctor, mail, reconcile, redrive, replay."""
