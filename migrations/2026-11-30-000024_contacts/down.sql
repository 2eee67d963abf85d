DROP TABLE contact_requests;
DROP TABLE contacts;
