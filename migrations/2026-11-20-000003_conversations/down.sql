DROP TABLE members;
DROP TABLE direct_pairs;
DROP TABLE conversations;
