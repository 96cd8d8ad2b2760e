"""Registries that say what a test wrote for them: as values, and on real sockets."""
