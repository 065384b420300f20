"""A sealed dataset made fit for strangers: in comes its manifest, out goes a release folder.

`release` composes the folder from what `publisher` says (licence, contact, terms) and the sealed
shards, which `shards` reads; `card` and `croissant` describe it, `leaks` refuses what must not
leave, `writing` puts it on disk whole or not at all, and `sign` signs it. `check` finds what a
release lost on its way. `describe` tells people what a manifest is and in what two differ.
"""
