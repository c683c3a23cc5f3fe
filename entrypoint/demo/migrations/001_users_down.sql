DROP TABLE chat_user;
