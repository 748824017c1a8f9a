"""The MNIST digits: ``FILE`` is the archive."""

import os

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mnist.npz")
