"""Notifications: messages about a run or a job to a command, a webhook or a mail address."""
