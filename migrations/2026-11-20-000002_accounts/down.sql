DROP TABLE devices;
DROP TABLE usernames;
DROP TABLE users;
