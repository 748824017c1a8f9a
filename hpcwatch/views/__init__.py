"""Views show what a report or a live session holds; nothing here reads or judges."""
