DROP VIEW messages_now;
DROP TABLE former_members;
DROP TABLE message_versions;
DROP TABLE message_states;
UPDATE messages SET content = '{}' WHERE content IS NULL;
ALTER TABLE messages ALTER COLUMN content SET NOT NULL;
ALTER TABLE conversations DROP COLUMN change_seq;
