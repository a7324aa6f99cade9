-- What follows from the log: how far it was watched, what was found, and whom that is still to be told.

-- How far each of those who read the log has come. It moves in the transaction of what was found up to there.
CREATE TABLE log_cursor (
    reader TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) STRICT;

CREATE TABLE alert_incident (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    policy TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX alert_incident_by_project ON alert_incident (project, started, id);
CREATE INDEX alert_incident_open ON alert_incident (id) WHERE ended IS NULL;
CREATE INDEX alert_incident_closed ON alert_incident (ended) WHERE ended IS NOT NULL;

-- A notice to a channel that was not taken yet; a dead letter once it is given up.
CREATE TABLE alert_delivery (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL,
    channel TEXT NOT NULL,
    incident TEXT NOT NULL,
    begun INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    due INTEGER NOT NULL,
    document TEXT NOT NULL,
    died INTEGER,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX alert_delivery_waiting ON alert_delivery (sequence) WHERE died IS NULL;
CREATE INDEX alert_delivery_dead ON alert_delivery (died, sequence) WHERE died IS NOT NULL;
CREATE INDEX alert_delivery_dead_by_project ON alert_delivery (project, sequence) WHERE died IS NOT NULL;
