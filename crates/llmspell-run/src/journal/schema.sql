-- One run of a flow. docs/journal.md explains the tables, with queries to begin with.

-- What the run is made of: the flow, its input, its options.
CREATE TABLE run (fact TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Each time the run was started.
CREATE TABLE session (
    id       INTEGER PRIMARY KEY,
    flow     BLOB NOT NULL,           -- fingerprint of all in the flow that decides an outcome
    pid      INTEGER NOT NULL,
    began    TEXT NOT NULL,           -- UTC; nothing is decided by it
    ended    TEXT,                    -- none while it runs, or if it was killed
    ending   TEXT,                    -- complete, drained, stopped, aborted, …
    ok       INTEGER, degraded INTEGER, failed INTEGER,
    replayed INTEGER,                 -- of these, records whose outcome was there already
    report   TEXT                     -- JSON
);

-- The steps that have kept results, each with what decides them.
CREATE TABLE step (
    id          INTEGER PRIMARY KEY,
    path        TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    UNIQUE (path, fingerprint)
);

-- Large outputs, each once. A number is never given twice: a row that is missing must not be taken for another one.
CREATE TABLE blob (id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, data TEXT NOT NULL);

-- The records that have an outcome, or kept results.
CREATE TABLE record (
    id      INTEGER PRIMARY KEY,      -- counts the records as they were first read, from 0
    key     BLOB NOT NULL,            -- which record it is: of its declared field, or of its content
    content BLOB,                     -- of its content, if a field is declared
    line    INTEGER NOT NULL,         -- where it stood in the input when it ran last
    session INTEGER NOT NULL,
    status  TEXT,                     -- ok, failed, interrupted; none while there is no outcome
    output  TEXT,                     -- JSON, unless it is
    blob    INTEGER REFERENCES blob,  -- a large one
    error   TEXT,                     -- JSON
    story   TEXT,                     -- JSON: quality, causes and provenance, where they are not as usual
    took_ms REAL
);

-- What steps gave to records, so that it need not be done again.
CREATE TABLE result (
    record INTEGER NOT NULL,
    step   INTEGER NOT NULL REFERENCES step,
    item   TEXT NOT NULL,             -- the place within the step, such as 3 for the fourth item; else empty
    output TEXT,
    blob   INTEGER REFERENCES blob,
    story  TEXT,
    PRIMARY KEY (record, step, item)
) WITHOUT ROWID;

-- What a run is asked to do while it runs, and what it answered.
CREATE TABLE command (
    id     INTEGER PRIMARY KEY,
    text   TEXT NOT NULL,
    asked  TEXT NOT NULL,
    answer TEXT
);

-- The same for people.
CREATE VIEW records AS
    SELECT r.id, lower(hex(r.key)) AS key, r.line, r.status, coalesce(r.output, b.data) AS output,
        json_extract(r.error, '$.kind') AS kind, json_extract(r.error, '$.path') AS path,
        json_extract(r.error, '$.message') AS message,
        coalesce(json_extract(r.story, '$.quality'), 'full') AS quality,
        coalesce(json_extract(r.story, '$.provenance.retries'), 0) AS retries,
        json_extract(r.story, '$.provenance.usage.input_tokens') AS input_tokens,
        json_extract(r.story, '$.provenance.usage.output_tokens') AS output_tokens,
        json_extract(r.story, '$.provenance.usage.cost') AS cost, r.took_ms, r.session
    FROM record r LEFT JOIN blob b ON b.id = r.blob;
CREATE VIEW results AS
    SELECT t.record, s.path AS step, t.item, coalesce(t.output, b.data) AS output,
        coalesce(json_extract(t.story, '$.quality'), 'full') AS quality,
        coalesce(json_extract(t.story, '$.provenance.retries'), 0) AS retries,
        json_extract(t.story, '$.provenance.usage.cost') AS cost
    FROM result t JOIN step s ON s.id = t.step LEFT JOIN blob b ON b.id = t.blob;
CREATE VIEW failures AS
    SELECT kind, path, count(*) AS records, min(line) AS first_line, min(message) AS message
    FROM records WHERE status = 'failed' GROUP BY kind, path ORDER BY records DESC;
