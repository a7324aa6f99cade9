-- What log-based metrics counted: derived from the journals, and so without an audit row. A value is its maker's business.

CREATE TABLE metric_series (
    id INTEGER PRIMARY KEY,
    metric TEXT NOT NULL,
    series TEXT NOT NULL,
    newest INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX metric_series_by_name ON metric_series (metric, series);
CREATE INDEX metric_series_by_age ON metric_series (newest);

-- Ids grow, so the difference of the last and the first bounds the number of rows.
CREATE TABLE metric_point (
    id INTEGER PRIMARY KEY,
    series INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    value TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX metric_point_by_minute ON metric_point (series, minute);
CREATE INDEX metric_point_by_age ON metric_point (minute);
