"""What is on a broker, and how a mappings file would read it: listen, group topics, guess decoders, write the TOML.

All but `listening` is pure: from caught messages to a proposal, which is run against the same messages before it is
shown. Decoders are taken from the catalog and tried; nothing here knows their names.
"""
