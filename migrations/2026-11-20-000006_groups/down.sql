DROP TABLE blocks;
DROP TABLE member_changes;
DROP TABLE client_conversations;
ALTER TABLE conversations DROP COLUMN last_change, DROP COLUMN blocked;
