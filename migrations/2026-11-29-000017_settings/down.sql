DROP TABLE hidden_messages;
DROP TABLE drafts;
DROP TABLE conversation_settings;
ALTER TABLE timelines DROP COLUMN hides;
ALTER TABLE members DROP COLUMN cleared_seq, DROP COLUMN sent_seq, DROP COLUMN marked_unread;
