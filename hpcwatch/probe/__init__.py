"""What runs on a node: reads it and gives one Sample per interval.

Standard library, psutil and pynvml only, Python 3.6 and newer; imports nothing else of hpcwatch.
"""
