ALTER TABLE devices DROP COLUMN inbox_seq, DROP COLUMN delivered_at;
ALTER TABLE users DROP COLUMN read_receipts;
