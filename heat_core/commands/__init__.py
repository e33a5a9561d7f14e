"""The commands, a module for each thing they are about.

Answers go to standard output, progress to standard error. Slow imports happen inside functions.
"""
