-- The first schema. A released file is never edited: its SHA-256 is kept in every database.
-- `id INTEGER PRIMARY KEY` with separate indexes loads four times faster than WITHOUT ROWID here.

-- The revision of the last commit.
CREATE TABLE sequence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO sequence (id, revision) VALUES (1, 0);

CREATE TABLE resource (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    parent TEXT NOT NULL,
    document TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX resource_by_name ON resource (kind, name);
CREATE INDEX resource_by_parent ON resource (kind, parent, name);

CREATE TABLE occurrence (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    project TEXT NOT NULL,
    note TEXT NOT NULL,
    digest BLOB CHECK (digest IS NULL OR length(digest) = 32),
    resource_uri TEXT NOT NULL,
    kind TEXT NOT NULL,
    document TEXT NOT NULL,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX occurrence_by_name ON occurrence (name);
CREATE UNIQUE INDEX occurrence_by_fingerprint ON occurrence (fingerprint);
-- The question of every cold admission. It starts with the digest, which differs in its first bytes:
-- note names share long prefixes.
CREATE INDEX occurrence_by_digest ON occurrence (digest, note, name);
CREATE INDEX occurrence_by_note ON occurrence (note, name);
CREATE INDEX occurrence_by_project ON occurrence (project, name);

CREATE TABLE sealed_key (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE token (
    id TEXT NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    principal TEXT NOT NULL,
    document TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT;

-- AUTOINCREMENT: a sequence number is never given twice.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    principal TEXT NOT NULL,
    method TEXT NOT NULL,
    resource TEXT NOT NULL,
    status_code INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
