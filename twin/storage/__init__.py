"""The memory: adapters of the store ports. Imported by `api.bootstrap` and tests only."""
