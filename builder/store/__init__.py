"""Shards behind a URL, each fetched once into a local cache of bounded size and checked there.

A cached file is named by its sha256, so datasets share it and no stranger's path reaches the disk.
A download is SHA256.part, locked while it is written: one that nobody locks was left by a process
that died. It is stretched to its full size at once, so that its space counts as taken.
"""

from builder.store.cache import Cache, default_cache_folder
from builder.store.remote import OutOfReach, Remote
from builder.store.url import PROTOCOLS, is_url

__all__ = ["PROTOCOLS", "Cache", "OutOfReach", "Remote", "default_cache_folder", "is_url"]
