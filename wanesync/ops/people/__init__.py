"""What operators see and decide about people: search, history, conflicts and their settlement, links, reveals."""
