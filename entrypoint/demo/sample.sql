-- The tables of the sample, as an ORM would have made them in SQLite: flags are 0 and 1, dates are epoch
-- milliseconds, ids of users and JSON are text. Where the application wrote no date, SQLite did, as text.

CREATE TABLE "ChatUser" (
    "id"          TEXT NOT NULL PRIMARY KEY,
    "email"       TEXT NOT NULL UNIQUE,
    "displayName" TEXT,
    "isActive"    BOOLEAN NOT NULL DEFAULT 1,
    "settings"    TEXT NOT NULL DEFAULT '{}',
    "avatar"      BLOB,
    "createdAt"   DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE "Conversation" (
    "id"         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "ownerId"    TEXT NOT NULL REFERENCES "ChatUser" ("id"),
    "title"      TEXT NOT NULL,
    "isArchived" BOOLEAN NOT NULL DEFAULT 0,
    "createdAt"  DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE "Message" (
    "id"             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "conversationId" INTEGER NOT NULL REFERENCES "Conversation" ("id"),
    "authorId"       TEXT REFERENCES "ChatUser" ("id"),
    "role"           TEXT NOT NULL,
    "body"           TEXT NOT NULL,
    "metadata"       TEXT NOT NULL DEFAULT '{}',
    "temperature"    REAL,
    "createdAt"      DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE "_prisma_migrations" (
    "id"             TEXT NOT NULL PRIMARY KEY,
    "checksum"       TEXT NOT NULL,
    "migration_name" TEXT NOT NULL
);

INSERT INTO "_prisma_migrations" VALUES ('1', 'c0ffee', '20230517093000_init');
