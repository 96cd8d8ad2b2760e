"""``pullproof demo``: everything that ``make demo`` runs."""

from webhook.cli.demo.driver import main

__all__ = ["main"]
