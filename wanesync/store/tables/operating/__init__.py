"""The tables of operators: access, audit, alerts, figures, logs, runs, and counts for people."""
