"""Hyper-parameter sweeps: many runs of one command, handed out by GNU parallel, each one measured.

parameters -> combinations -> plan (on disk) -> engine (GNU parallel) -> attempts (on disk) ->
outcome -> findings. A sweep's folder lies next to the runs' folders, on a file system that all its
hosts share.
"""
