ALTER TABLE client_conversations DROP COLUMN request_hash, DROP COLUMN refused;
