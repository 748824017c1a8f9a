"""A real cluster for the tests: hosts as namespaces of this machine, Slurm, sshd on each.

``cluster.cluster.Cluster`` brings it up and takes it down; ``python -m cluster`` holds one for a
person. Linux, root, and the packages that ``.ci/run`` names are needed; nothing of the machine
itself is changed.
"""
