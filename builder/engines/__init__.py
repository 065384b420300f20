"""Samples of real and synthetic images → finished shards, on this machine's devices.

`jobs` says which samples go into which shard, `painter` how synthetic pictures are produced,
`workers` shares the jobs among processes, and `local` decides how many processes there are, on
which GPUs, and how many images at a time. `reports` lists the images that are in no shard.
"""
