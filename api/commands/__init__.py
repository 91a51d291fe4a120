"""The command line's verbs, one file a group. Everything heavy is imported inside the functions."""
