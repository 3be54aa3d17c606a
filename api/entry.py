"""The console script. It imports nothing by itself: worker processes run it again to find their main module."""

from __future__ import annotations


def main() -> None:
    from api.commands import main as run  # only in the process that runs the command

    run()
