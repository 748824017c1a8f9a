"""Sends the numbers of runs and jobs to Prometheus and others: listener, file, push, OTLP."""
