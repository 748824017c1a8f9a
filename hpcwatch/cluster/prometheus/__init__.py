"""What a site's Prometheus recorded of a job: asked for once, in bounds, as samples of our own."""
