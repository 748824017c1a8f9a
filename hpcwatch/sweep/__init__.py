"""Hyper-parameter sweeps: many runs of one command, handed out by GNU parallel, each one measured.

parameters -> combinations -> plan (on disk) -> engine (GNU parallel) -> attempts (on disk) ->
outcome -> findings. A sweep's folder lies beside the runs' and has to be seen by all its hosts.
"""
