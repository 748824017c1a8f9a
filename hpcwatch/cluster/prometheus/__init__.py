"""Reads what a site's Prometheus recorded of a job, within bounds, as samples of our own."""
