"""What runs on a node: reads it and gives one Sample a tick.

Standard library, psutil and pynvml only, Python 3.6 and newer; imports nothing else of hpcwatch.
"""
