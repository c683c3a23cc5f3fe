// The chat server: users, conversations and messages over HTTP, as JSON.
// It is PID 1 in its container, so it answers SIGTERM itself.

import { createServer } from "node:http";
import { openStore } from "./store.js";

const PORT = Number(process.env.PORT ?? 3000);
const MAX_BODY_BYTES = 64 * 1024;

const store = await openStore();

const routes = [
  ["GET", /^\/$/, async () => ({ application: "chat", store: store.kind, ...(await store.count()) })],
  ["GET", /^\/health$/, async () => ({ status: "ok", store: await store.ping(), pid: process.pid })],
  ["GET", /^\/users$/, () => store.listUsers()],
  ["GET", /^\/conversations$/, () => store.listConversations()],
  ["GET", /^\/conversations\/(\d+)\/messages$/, ([id]) => store.listMessages(Number(id))],
  ["POST", /^\/messages$/, (_, body) => store.addMessage(checkMessage(body))],
];

function checkMessage(body) {
  const { conversationId, authorId = null, text } = body ?? {};
  if (!Number.isSafeInteger(conversationId) || typeof text !== "string" || text === "") {
    throw Object.assign(new Error("conversationId (integer) and text (non-empty) are needed"), { status: 400 });
  }
  return { conversationId, authorId, text };
}

async function readBody(request) {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) throw Object.assign(new Error("the body is too long"), { status: 413 });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw Object.assign(new Error("the body is not JSON", { cause }), { status: 400 });
  }
}

async function answer(request) {
  const { pathname } = new URL(request.url, "http://localhost");
  const matching = routes.filter(([, pattern]) => pattern.test(pathname));
  if (matching.length === 0) throw Object.assign(new Error("no such page"), { status: 404 });
  const route = matching.find(([method]) => method === request.method);
  if (!route) throw Object.assign(new Error("method not allowed"), { status: 405 });
  const [method, pattern, handle] = route;
  return handle(pattern.exec(pathname).slice(1), method === "POST" ? await readBody(request) : undefined);
}

const server = createServer(async (request, response) => {
  let status = request.method === "POST" ? 201 : 200;
  let body;
  try {
    body = await answer(request);
  } catch (error) {
    status = error.status ?? 500;
    body = { error: error.message };
    if (status === 500) console.error(error);
  }
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
});

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => {
    console.log(`chat: ${signal}, closing`);
    server.close(() => store.close().then(() => process.exit(0)));
    server.closeAllConnections();
  });
}

server.listen(PORT, () => console.log(`chat: listening on ${PORT}, pid ${process.pid}, data in ${store.kind}`));
