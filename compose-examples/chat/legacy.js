// Makes the file that an installation of the SQLite days would have left: node legacy.js [PATH]

import { existsSync, readFileSync } from "node:fs";
import sqlite from "node-sqlite3-wasm";

const path = process.argv[2] ?? "/app/data/chat.db";
if (existsSync(path)) {
  console.error(`legacy: ${path} exists already; remove it first`);
  process.exit(1);
}

const start = Date.UTC(2023, 4, 17, 9, 30, 0, 250);
const hourMs = 3_600_000;
const users = [
  ["7d9f1a34-2a5e-4c0b-9d55-0c7c0f6f1a01", "ada@example.org", "Ada Lovelace", "admin", 1, '{"theme":"dark","pins":[1,2]}'],
  ["7d9f1a34-2a5e-4c0b-9d55-0c7c0f6f1a02", "grace@example.org", "Grace Hopper", "member", 1, '{"theme":"light"}'],
  ["7d9f1a34-2a5e-4c0b-9d55-0c7c0f6f1a03", "kurt@example.org", null, "guest", 0, null],
];
const conversations = [
  [users[0][0], "Analytical Engine", 0],
  [users[1][0], "Compilers", 1],
];

const database = new sqlite.Database(path);
database.exec(readFileSync(new URL("./sqlite.sql", import.meta.url), "utf8"));
database.exec("BEGIN");
users.forEach((user, n) => database.run(`INSERT INTO "User" VALUES (?, ?, ?, ?, ?, ?, ?)`, [...user, start + n * hourMs]));
conversations.forEach((conversation, n) =>
  database.run(`INSERT INTO "Conversation" VALUES (NULL, ?, ?, ?, ?)`, [...conversation, start + n * hourMs]),
);
for (let n = 0; n < 200; n += 1) {
  const fromUser = n % 2 === 0;
  database.run(`INSERT INTO "Message" VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)`, [
    (n % 3 === 0) + 1,
    fromUser ? users[n % users.length][0] : null,
    fromUser ? "user" : "assistant",
    `Message ${n}: naïve café, 日本語, 🙂`,
    JSON.stringify({ n, tags: ["legacy"] }),
    n % 10 === 0 ? Buffer.from([0, 1, 2, 255, n]) : null,
    n / 7,
    start + n * 61_000,
  ]);
}
database.exec("COMMIT");
database.close();
console.log(`legacy: wrote ${users.length} users, ${conversations.length} conversations and 200 messages to ${path}`);
