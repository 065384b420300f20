"""A sealed dataset → batches: any sequence of its rows, proved and decoded.

`locate` finds the dataset, `shards` proves each shard, `order` gives an epoch's sequence, `batches`
decodes it in threads (`prefetch`), and `ram` keeps decoded images. For training loops of other
people, `loader` has the same stream as an IterableDataset, and `pipeline` is webdataset's own kind;
`opened` is a split that both send to worker processes.
"""
