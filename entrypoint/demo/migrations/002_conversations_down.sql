DROP TABLE message;
DROP TABLE conversation;
DROP TYPE message_role;
