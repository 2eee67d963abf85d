DROP TABLE last_seen;
ALTER TABLE users DROP COLUMN audience_rev;
