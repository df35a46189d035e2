"""What operators see and steer, as values: alarms, alerts, figures, operators, filters, runs, explanations."""
