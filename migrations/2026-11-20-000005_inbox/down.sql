DROP TABLE inbox;
DROP TABLE timelines;
