-- How far the log of each server is signed for, as it says itself, and the newest statement over all of them: derived from
-- the journals, and so without an audit row.

CREATE TABLE log_checkpoint (
    origin BYTEA PRIMARY KEY,
    verifier_key BYTEA NOT NULL,
    note BYTEA NOT NULL,
    published BIGINT NOT NULL
);
CREATE INDEX log_checkpoint_by_age ON log_checkpoint (published);

CREATE TABLE merged_checkpoint (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL,
    note BYTEA NOT NULL
);
