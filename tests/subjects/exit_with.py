"""Exits with the code given."""

import sys

if __name__ == "__main__":
    sys.exit(int(sys.argv[1]))
