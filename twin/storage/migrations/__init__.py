"""How the registry's tables came to be, step by step: one file per revision in `versions/`, run when it is opened.

A revision never imports the program's own tables: it says what was true when it was written.
"""
