-- How far the log of each server is signed for, as it says itself, and the newest statement over all of them: derived from
-- the journals, and so without an audit row.

CREATE TABLE log_checkpoint (
    origin TEXT PRIMARY KEY,
    verifier_key TEXT NOT NULL,
    note TEXT NOT NULL,
    published INTEGER NOT NULL
) STRICT;
CREATE INDEX log_checkpoint_by_age ON log_checkpoint (published);

CREATE TABLE merged_checkpoint (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;
