DROP INDEX "Message_conversationId_createdAt_idx";
