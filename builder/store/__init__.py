"""Files behind a URL: in comes a root URL and a path below it, out comes a checked local file.

`url` says which URLs are accepted, `files` reads bytes from stores and web servers, `remote` asks
again after failures and checks sha256, and `cache` is the bounded folder that keeps the result. A
cached file is named by its sha256, so datasets share it and no stranger's path reaches the disk.
"""

from builder.store.cache import Cache, default_cache_folder
from builder.store.remote import OutOfReach, Refused, Remote
from builder.store.url import PROTOCOLS, is_url

__all__ = [
    "PROTOCOLS",
    "Cache",
    "OutOfReach",
    "Refused",
    "Remote",
    "default_cache_folder",
    "is_url",
]
