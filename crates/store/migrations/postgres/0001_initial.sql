-- The first schema. A released file is never edited: its SHA-256 is kept in every database.
--
-- Text that callers chose is kept as its UTF-8 bytes: BYTEA takes every character (TEXT refuses U+0000) and compares by
-- bytes, so order and uniqueness depend on no collation of the operating system, and are those of the other engine.

-- The last numbers that were given. Whoever writes locks this row first, so commits of all servers happen one after the
-- other, in the order of their revisions and without gaps: who has seen a revision has seen all before it.
CREATE TABLE counter (
    id SMALLINT PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL,
    audit BIGINT NOT NULL,
    delivery BIGINT NOT NULL
);
INSERT INTO counter (id, revision, audit, delivery) VALUES (1, 0, 0, 0);

-- What each of the newest revisions changed, for the other servers. One row for every revision, also where it is nothing to
-- them: a revision that is missing was forgotten, and then everything may have changed.
CREATE TABLE news (
    revision BIGINT PRIMARY KEY,
    -- Everything of these kinds.
    kinds BYTEA[] NOT NULL,
    -- The occurrences of these notes and digests, pairwise.
    notes BYTEA[] NOT NULL,
    digests BYTEA[] NOT NULL,
    -- More than is worth telling.
    everything BOOLEAN NOT NULL
);

-- Which server does what one of them has to do. The number grows with each that takes it over: what an earlier one still
-- wants to write is known by its number, and refused.
CREATE TABLE leadership (
    id SMALLINT PRIMARY KEY CHECK (id = 1),
    epoch BIGINT NOT NULL
);
INSERT INTO leadership (id, epoch) VALUES (1, 0);

CREATE TABLE resource (
    kind BYTEA NOT NULL,
    name BYTEA NOT NULL,
    parent BYTEA NOT NULL,
    document BYTEA NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);
CREATE INDEX resource_by_parent ON resource (kind, parent, name);

CREATE TABLE occurrence (
    name BYTEA PRIMARY KEY,
    project BYTEA NOT NULL,
    note BYTEA NOT NULL,
    digest BYTEA CHECK (digest IS NULL OR length(digest) = 32),
    resource_uri BYTEA NOT NULL,
    kind BYTEA NOT NULL,
    document BYTEA NOT NULL,
    fingerprint BYTEA NOT NULL UNIQUE CHECK (length(fingerprint) = 32),
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE INDEX occurrence_by_digest ON occurrence (digest, note, name);
-- The question of a cold admission asks for the newest first.
CREATE INDEX occurrence_by_age ON occurrence (digest, note, created, name);
CREATE INDEX occurrence_by_note ON occurrence (note, name);
CREATE INDEX occurrence_by_project ON occurrence (project, name);

CREATE TABLE sealed_key (
    name BYTEA PRIMARY KEY,
    sealed BYTEA NOT NULL
);

CREATE TABLE token (
    id BYTEA PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE CHECK (length(hash) = 32),
    principal BYTEA NOT NULL,
    document BYTEA NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT,
    revoked BIGINT
);

CREATE TABLE audit (
    sequence BIGINT PRIMARY KEY,
    time BIGINT NOT NULL,
    principal BYTEA NOT NULL,
    method BYTEA NOT NULL,
    resource BYTEA NOT NULL,
    status_code INTEGER NOT NULL,
    request_id BYTEA NOT NULL,
    detail BYTEA NOT NULL,
    -- The server that was called: it brings the row into its signed log.
    server BYTEA NOT NULL
);
CREATE INDEX audit_by_server ON audit (server, sequence);

-- How far each of those who read a log has come: every server reads its own. It moves in the transaction of what was found
-- up to there.
CREATE TABLE log_cursor (
    server BYTEA NOT NULL,
    reader BYTEA NOT NULL,
    document BYTEA NOT NULL,
    updated TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (server, reader)
);
CREATE INDEX log_cursor_by_age ON log_cursor (updated);

CREATE TABLE alert_incident (
    id BYTEA PRIMARY KEY,
    project BYTEA NOT NULL,
    policy BYTEA NOT NULL,
    started BIGINT NOT NULL,
    ended BIGINT,
    document BYTEA NOT NULL,
    -- The server that found it in its log, and will find its end there.
    server BYTEA NOT NULL
);
CREATE INDEX alert_incident_by_project ON alert_incident (project, started, id);
CREATE INDEX alert_incident_open ON alert_incident (server, id) WHERE ended IS NULL;
CREATE INDEX alert_incident_closed ON alert_incident (ended) WHERE ended IS NOT NULL;

-- A notice to a channel that was not taken yet; a dead letter once it is given up.
CREATE TABLE alert_delivery (
    sequence BIGINT PRIMARY KEY,
    id BYTEA NOT NULL UNIQUE,
    project BYTEA NOT NULL,
    channel BYTEA NOT NULL,
    incident BYTEA NOT NULL,
    begun BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    due BIGINT NOT NULL,
    document BYTEA NOT NULL,
    died BIGINT,
    reason BYTEA NOT NULL
);
CREATE INDEX alert_delivery_waiting ON alert_delivery (sequence) WHERE died IS NULL;
CREATE INDEX alert_delivery_dead ON alert_delivery (died, sequence) WHERE died IS NOT NULL;
CREATE INDEX alert_delivery_dead_by_project ON alert_delivery (project, sequence) WHERE died IS NOT NULL;

CREATE TABLE metric_series (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    metric BYTEA NOT NULL,
    series BYTEA NOT NULL,
    newest BIGINT NOT NULL
);
-- The labels of a series can be longer than an index entry may be.
CREATE UNIQUE INDEX metric_series_by_name ON metric_series (metric, sha256(series));
CREATE INDEX metric_series_by_age ON metric_series (newest);

-- Ids grow, so the difference of the last and the first bounds the number of rows.
CREATE TABLE metric_point (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    series BIGINT NOT NULL,
    minute BIGINT NOT NULL,
    value BYTEA NOT NULL
);
CREATE UNIQUE INDEX metric_point_by_minute ON metric_point (series, minute);
CREATE INDEX metric_point_by_age ON metric_point (minute);
