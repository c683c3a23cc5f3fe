DROP TABLE "Message";
DROP TABLE "Conversation";
DROP TYPE "MessageRole";
