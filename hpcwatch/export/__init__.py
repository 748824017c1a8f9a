"""What is watched or recorded, for Prometheus and others: OpenMetrics, a listener, push, OTLP."""
