"""Stands in for typing, whose import takes 3 ms of a cold start and which only type checkers need.

A type checker takes TYPE_CHECKING for True, wherever it comes from. So a module imports the names that its annotations use
under "if TYPE_CHECKING:".
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import cast as cast
else:

    def cast(kind, value):
        """The value. A type checker takes it for one of this kind."""
        return value
