"""Bodies of the command lines in ``tools/``; each module has a ``main(argv=None) -> int``."""
