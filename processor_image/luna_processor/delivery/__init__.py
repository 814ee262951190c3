"""Events on their way: named, kept on disk, written in the format of their receiver, tried until they arrive."""
