// A store that speaks S3, as much of it as the server uses. It takes any key, and a signed address until its time is over.

import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";

/** When a signed address ends. */
function endOf(query) {
  const [, ...date] = /^(....)(..)(..)T(..)(..)(..)Z$/.exec(query.get("X-Amz-Date"));
  const [year, month, day, hour, minute, second] = date.map(Number);
  return Date.UTC(year, month - 1, day, hour, minute, second) + 1_000 * Number(query.get("X-Amz-Expires"));
}

/** Starts a store; `t` ends it. `ahead` is by how much its clock is ahead; `signed` are the requests to signed addresses. */
export async function store(t) {
  const objects = new Map();
  const uploads = new Map();
  const state = { ahead: 0, signed: [], objects, url: "" };
  const tag = (bytes) => `"${createHash("md5").update(bytes).digest("hex")}"`;

  async function answer(request, response) {
    const { pathname, searchParams: query } = new URL(request.url, state.url);
    const body = await buffer(request);
    const end = (status, headers = {}, text = "") => response.writeHead(status, { "Access-Control-Allow-Origin": "*", ...headers }).end(text);
    if (query.has("X-Amz-Signature")) {
      state.signed.push({ pathname, headers: request.headers });
      if (Date.now() + state.ahead > endOf(query)) return end(403);
    }
    const id = query.get("uploadId");
    const kind = `${request.method}${query.has("uploads") ? " begin" : id ? " upload" : query.has("delete") ? " many" : ""}`;
    if (kind === "POST begin") {
      const made = randomUUID();
      uploads.set(made, []);
      return end(200, {}, `<InitiateMultipartUploadResult><UploadId>${made}</UploadId></InitiateMultipartUploadResult>`);
    }
    if (kind === "PUT upload") {
      uploads.get(id)[query.get("partNumber")] = body;
      return end(200, { ETag: tag(body) });
    }
    if (kind === "POST upload") {
      objects.set(pathname, Buffer.concat(uploads.get(id).filter(Boolean)));
      return end(200, {}, `<CompleteMultipartUploadResult><ETag>${tag(id)}</ETag></CompleteMultipartUploadResult>`);
    }
    if (kind === "PUT") {
      objects.set(pathname, body);
      return end(200, { ETag: tag(body) });
    }
    if (kind === "POST many") {
      for (const [, key] of String(body).matchAll(/<Key>(.*?)<\/Key>/g)) objects.delete(`${pathname.replace(/\/$/, "")}/${key}`);
      return end(200, {}, "<DeleteResult></DeleteResult>");
    }
    if (request.method === "DELETE") {
      objects.delete(pathname);
      return end(204);
    }
    const object = objects.get(pathname);
    if (!object) return end(404);
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const part = from ? object.subarray(Number(from), to ? Number(to) + 1 : undefined) : object;
    const headers = { "Content-Length": part.length, "Content-Type": query.get("response-content-type") ?? "", "ETag": tag(object), "Last-Modified": new Date().toUTCString() };
    if (from) headers["Content-Range"] = `bytes ${from}-${Number(from) + part.length - 1}/${object.length}`;
    end(from ? 206 : 200, headers, request.method === "HEAD" ? "" : part);
  }

  const server = createServer((request, response) => void answer(request, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  state.url = `http://127.0.0.1:${server.address().port}`;
  state.env = {
    TIDELINE_MEDIA_URL: "s3://media/kept",
    AWS_ENDPOINT_URL: state.url,
    AWS_ALLOW_HTTP: "true",
    AWS_ACCESS_KEY_ID: "a-key-id",
    AWS_SECRET_ACCESS_KEY: "a-secret-key",
  };
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return state;
}
