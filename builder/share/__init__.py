"""A sealed dataset made fit for strangers: in comes its manifest, out goes a release folder.

`release` composes the folder from what `publisher` says (licence, contact, terms) and the sealed
shards, which `shards` reads; `card` and `croissant` describe it, `leaks` refuses what must not
leave, `writing` puts it on disk whole or not at all, and `sign` signs it. `check` finds what a
release lost on its way. `describe` tells people what a manifest is and in what two differ.

`pull` fetches a release: `announced` says what a source has and whose it is, `receiving` reads
folders, hubs, buckets and web servers, and in `growing` a folder appears whole or not at all.

The way back to the dataset is `rebuild`: `lockfile` reads what a manifest asks for, `known` what
lies next to it, `proof` compares what was built again, and `place` gives it the name that it has
earned. `merge` makes one dataset of several, whose plan `merged_plan` counts again.
"""
