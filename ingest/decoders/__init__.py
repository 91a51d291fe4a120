"""Decoders: one file a payload format. A decoder turns a message's bytes into raw readings and knows nothing else."""
