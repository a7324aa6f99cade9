-- The question of a cold admission asks for the newest first: whoever may attach occurrences to a note shall not hide
-- a new attestation behind a heap of old ones. `occurrence_by_digest` keeps serving lists, which go by name.
CREATE INDEX occurrence_by_age ON occurrence (digest, note, created, name);
