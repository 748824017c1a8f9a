"""Hyper-parameter sweeps: many runs of one command, distributed by GNU parallel, each measured.

parameters -> combinations -> plan (on disk) -> engine (GNU parallel) -> attempts (on disk) ->
outcome -> findings. A sweep's folder lies next to the runs' folders, on a file system that all its
hosts share.
"""
