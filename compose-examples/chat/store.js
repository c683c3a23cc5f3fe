// Where the data is kept: PostgreSQL when DATABASE_URL names one, else an SQLite file.
// Both stores answer the same questions in the same shapes: times are ISO 8601, flags are booleans.

import { readFileSync } from "node:fs";
import pg from "pg";
import sqlite from "node-sqlite3-wasm";

const DEFAULT_URL = "file:/app/data/chat.db";

// Numbers of this application stay far below 2^53, so an int8 need not arrive as text.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export function resolveUrl(environment = process.env) {
  if (environment.DATABASE_URL) return environment.DATABASE_URL;
  const file = environment.DATABASE_URL_FILE;
  return file ? readFileSync(file, "utf8").replace(/\r?\n$/, "") : DEFAULT_URL;
}

export async function openStore(url = resolveUrl()) {
  return /^postgres(ql)?:/.test(url) ? new PostgresStore(url) : new SqliteStore(url.replace(/^(file|sqlite):(\/\/)?/, ""));
}

const COUNT = `SELECT (SELECT count(*) FROM "User") AS users,
  (SELECT count(*) FROM "Conversation") AS conversations, (SELECT count(*) FROM "Message") AS messages`;
const USERS = `SELECT * FROM "User" ORDER BY "email"`;
const CONVERSATIONS = `SELECT * FROM "Conversation" ORDER BY "id"`;

class PostgresStore {
  kind = "postgresql";

  constructor(connectionString) {
    this.pool = new pg.Pool({ connectionString, max: 5 });
    this.pool.on("error", (error) => console.error(`chat: an idle connection failed: ${error.message}`));
  }

  async query(text, values) {
    return (await this.pool.query(text, values)).rows;
  }

  async ping() {
    await this.query("SELECT 1");
    return this.kind;
  }

  async count() {
    return (await this.query(COUNT))[0];
  }

  listUsers() {
    return this.query(USERS);
  }

  listConversations() {
    return this.query(CONVERSATIONS);
  }

  async listMessages(conversationId) {
    const rows = await this.query(`SELECT * FROM "Message" WHERE "conversationId" = $1 ORDER BY "id"`, [conversationId]);
    return rows.map(({ attachment, ...row }) => ({ ...row, attachment: attachment?.toString("base64") ?? null }));
  }

  async addMessage({ conversationId, authorId, text }) {
    const rows = await this.query(
      `INSERT INTO "Message" ("conversationId", "authorId", "role", "body", "metadata")
       VALUES ($1, $2, 'user', $3, '{}') RETURNING *`,
      [conversationId, authorId, text],
    );
    return rows[0];
  }

  close() {
    return this.pool.end();
  }
}

class SqliteStore {
  kind = "sqlite";

  constructor(path) {
    this.database = new sqlite.Database(path);
    this.database.exec(readFileSync(new URL("./sqlite.sql", import.meta.url), "utf8"));
  }

  async ping() {
    this.database.get("SELECT 1");
    return this.kind;
  }

  async count() {
    return this.database.get(COUNT);
  }

  async listUsers() {
    return this.database.all(USERS).map((row) => ({
      ...row,
      isActive: row.isActive === 1,
      settings: row.settings === null ? null : JSON.parse(row.settings),
      createdAt: new Date(row.createdAt).toISOString(),
    }));
  }

  async listConversations() {
    return this.database.all(CONVERSATIONS).map((row) => ({
      ...row,
      isArchived: row.isArchived === 1,
      createdAt: new Date(row.createdAt).toISOString(),
    }));
  }

  async listMessages(conversationId) {
    return this.database.all(`SELECT * FROM "Message" WHERE "conversationId" = ? ORDER BY "id"`, [conversationId]).map(decodeMessage);
  }

  async addMessage({ conversationId, authorId, text }) {
    return decodeMessage(
      this.database.get(
        `INSERT INTO "Message" ("conversationId", "authorId", "role", "body", "metadata", "createdAt")
         VALUES (?, ?, 'user', ?, '{}', ?) RETURNING *`,
        [conversationId, authorId, text, Date.now()],
      ),
    );
  }

  async close() {
    this.database.close();
  }
}

function decodeMessage({ attachment, metadata, createdAt, ...row }) {
  return {
    ...row,
    metadata: JSON.parse(metadata),
    createdAt: new Date(createdAt).toISOString(),
    attachment: attachment ? Buffer.from(attachment).toString("base64") : null,
  };
}
