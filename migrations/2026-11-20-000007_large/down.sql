DROP INDEX members_large;
ALTER TABLE members DROP COLUMN large;
ALTER TABLE conversations DROP COLUMN switch_seq, DROP COLUMN public;
