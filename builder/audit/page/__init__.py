"""An audit and pictures of its suspects → NAME.audit.html: one page that needs nothing else.

It has no script, asks no network for anything, and its policy (CSP) forbids both. Names in a
dataset may be a stranger's: everything but our own figures is escaped. `page.html` is its template,
`scale` places figures on a strip, `pairs` are the pictures.
"""

from builder.audit.page.html import page
from builder.audit.page.pairs import Pair, pairs_of

__all__ = ["Pair", "page", "pairs_of"]
