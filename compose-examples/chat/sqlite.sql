-- The SQLite schema, as Prisma would have made it: dates are epoch milliseconds, flags are 0 and 1,
-- ids of users are text, and JSON is text.

CREATE TABLE IF NOT EXISTS "User" (
    "id"          TEXT NOT NULL PRIMARY KEY,
    "email"       TEXT NOT NULL,
    "displayName" TEXT,
    "role"        TEXT NOT NULL DEFAULT 'member',
    "isActive"    BOOLEAN NOT NULL DEFAULT true,
    "settings"    TEXT,
    "createdAt"   DATETIME NOT NULL
);

CREATE UNIQUE INDEX IF NOT EXISTS "User_email_key" ON "User" ("email");

CREATE TABLE IF NOT EXISTS "Conversation" (
    "id"         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "ownerId"    TEXT NOT NULL,
    "title"      TEXT NOT NULL,
    "isArchived" BOOLEAN NOT NULL DEFAULT false,
    "createdAt"  DATETIME NOT NULL,
    CONSTRAINT "Conversation_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User" ("id")
);

CREATE TABLE IF NOT EXISTS "Message" (
    "id"             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "conversationId" INTEGER NOT NULL,
    "authorId"       TEXT,
    "role"           TEXT NOT NULL,
    "body"           TEXT NOT NULL,
    "metadata"       TEXT NOT NULL,
    "attachment"     BLOB,
    "score"          REAL,
    "createdAt"      DATETIME NOT NULL,
    CONSTRAINT "Message_conversationId_fkey" FOREIGN KEY ("conversationId") REFERENCES "Conversation" ("id"),
    CONSTRAINT "Message_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "User" ("id")
);
