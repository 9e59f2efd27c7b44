-- Sessions without a run, ended ones too: listings of these alone need not read the sessions of runs.
CREATE INDEX sessions_standalone ON sessions (id) WHERE run IS NULL;
