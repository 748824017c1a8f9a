"""The full-screen live view of a job or of hosts."""
