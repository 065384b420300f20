"""Jobs → finished shards: where they are made, and on which devices.

`jobs` says which samples go into which shard, `workers` shares the jobs among processes, `local`
is this machine: how many processes, which GPUs, how many images at a time.
"""
