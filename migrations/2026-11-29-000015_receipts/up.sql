SET lock_timeout = '5s';

-- Off: the person's reading is shown to nobody, and the person sees nobody's.
ALTER TABLE users ADD COLUMN read_receipts boolean NOT NULL DEFAULT true;

-- The device has every inbox entry up to `inbox_seq`, and every message that was stored before `delivered_at`. Neither column is
-- indexed, so that their updates stay HOT.
ALTER TABLE devices
    ADD COLUMN inbox_seq    bigint NOT NULL DEFAULT 0,
    ADD COLUMN delivered_at timestamptz;
