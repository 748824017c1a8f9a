"""hpcwatch: what a job really uses, while it runs and afterwards, and what to change."""

__version__ = "0.1.0"
