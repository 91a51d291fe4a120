"""The layouts of a spool's file.

The first one noted a state with every reading (0: waits, 1: the server has it, 2: refused) and kept no lines. The
second keeps what waits in a journal; what waited in a file of the first is `inherited`. Bringing a file up to date
rewrites it once and takes as much free room on the disk as it is large; without it, the file stays as it was.

The third one knows whether other spools write to the same bucket: whoever opens the file must know that to forward it.
"""

from __future__ import annotations

from twin.storage import readings_table as table
from twin.storage import spool_journal as journal
from twin.storage.readings_rows import FIRST_US

APPLICATION_ID = 0x48325350  # "H2SP"

LAYOUT = (
    f"""
    CREATE TABLE series (
        series INTEGER PRIMARY KEY, sensor_id TEXT NOT NULL UNIQUE, floor INTEGER NOT NULL DEFAULT {FIRST_US}
    );
    {table.WORDS_LAYOUT};
    CREATE TABLE reading (
        {table.READING_COLUMNS}, state INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (series, time)
    ) WITHOUT ROWID;
    CREATE INDEX waiting ON reading (series, time) WHERE state = 0;
    CREATE TABLE quarantine (
        series INTEGER NOT NULL, time INTEGER NOT NULL, line TEXT NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY (series, time)
    ) WITHOUT ROWID;
    CREATE TABLE tally (
        readings INTEGER NOT NULL, waiting INTEGER NOT NULL, quarantined INTEGER NOT NULL, ledger INTEGER NOT NULL,
        forgettings INTEGER NOT NULL, destination TEXT
    );
    INSERT INTO tally VALUES (0, 0, 0, 0, 0, NULL)
    """,
    f"""
    DROP INDEX waiting;
    {journal.LAYOUT};
    INSERT INTO inherited SELECT series, time FROM reading WHERE state = 0 ORDER BY series, time;
    ALTER TABLE reading DROP COLUMN state;
    ALTER TABLE tally ADD COLUMN floor INTEGER NOT NULL DEFAULT {FIRST_US};
    UPDATE tally SET
        floor = (SELECT coalesce(max(floor), {FIRST_US}) FROM series), ledger = (SELECT count(*) FROM reading)
    """,
    "ALTER TABLE tally ADD COLUMN is_alone INTEGER NOT NULL DEFAULT 1",
)
"""The script of each version of the file, oldest first: add to the end, never change what was released."""
