"""What is told to Prometheus: a table of metrics, and where each is read. docs/METRICS.md has all of them."""
