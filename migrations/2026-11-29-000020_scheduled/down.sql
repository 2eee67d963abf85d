DROP TABLE scheduled_failures;
DROP TABLE scheduled;
