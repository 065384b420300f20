"""fit-gan: the sealed real training images of a dataset → a conditional progressive GAN.

In: a manifest and Settings. Out: gan.safetensors, which `--generator` reads, its card, and gan.run/
with snapshots, history and sample sheets. `run` is the whole of it; `data` loads the images,
`train` is the loop over `networks` and `losses`, `distributed` shares a batch among processes, and
`snapshot`, `history`, `samples` and `card` write what stays.
"""
