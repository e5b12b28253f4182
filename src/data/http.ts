/** Bytes from URLs: whole as a stream, or by range. */

import { DataError } from "../core/errors.js";
import type { ByteSource } from "../core/platform.js";
import { warnOnce } from "../core/warnings.js";

/** A connection that gives nothing for this long is given up. */
const IDLE_MS = 60_000;

async function request(url: string, name: string, init: RequestInit): Promise<Response> {
  let response: Response;
  const silence = new AbortController();
  const signal = init.signal ? AbortSignal.any([init.signal, silence.signal]) : silence.signal;
  try {
    response = await withinIdleTime(fetch(url, { ...init, signal }), name);
  } catch (cause) {
    silence.abort();
    if (cause instanceof DataError) throw cause;
    const why = ((cause as Error).cause as Error)?.message ?? (cause as Error).message;
    throw new DataError(`${name}: cannot be fetched: ${why}.`, { where: name, cause });
  }
  if (!response.ok) await response.body?.cancel().catch(() => {});
  requireOk(response, name);
  return response;
}

/** Throws DataError on an answer that is an error. */
export function requireOk({ ok, status, statusText }: Response, name: string): void {
  if (ok) return;
  throw new DataError(`${name}: the server answered HTTP ${status} ${statusText}.`, { where: name, status });
}

function withinIdleTime<T>(promise: Promise<T>, name: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new DataError(`${name}: the server sent nothing for ${IDLE_MS / 1000} seconds.`, { where: name })),
      IDLE_MS,
    );
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The body of an answer. Throws DataError where the connection is cut or silent. */
export async function* bodyOf(response: Response, name: string): AsyncGenerator<Uint8Array> {
  if (!response.body) return;
  const reader = response.body.getReader();
  // With a content encoding the length header counts other bytes than those we see.
  const announced = response.headers.get("content-encoding") ? null : response.headers.get("content-length");
  let received = 0;
  const cut = (cause?: unknown) =>
    new DataError(`${name}: the connection was cut after ${received} bytes${announced ? ` of ${announced}` : ""}.`, {
      where: name,
      hint: "Try again; nothing of this pass was kept.",
      cause,
    });
  try {
    while (true) {
      const { done, value } = await withinIdleTime(reader.read(), name).catch((cause) => {
        throw cause instanceof DataError ? cause : cut(cause);
      });
      if (done) break;
      received += value.length;
      yield value;
    }
    if (announced !== null && received < Number(announced)) throw cut();
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** The content of a URL as a stream. Throws DataError on HTTP errors and cut connections. */
export async function* fetchStream(url: string, name: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  yield* bodyOf(await request(url, name, { signal }), name);
}

/**
 * Random access to a URL through range requests. A server without them sends everything at once, which is then kept in
 * memory, with a warning.
 */
export async function openUrl(url: string, name: string, signal?: AbortSignal): Promise<ByteSource> {
  const first = await request(url, name, { signal, headers: { Range: "bytes=0-0" } });
  const total = Number(/\/(\d+)$/.exec(first.headers.get("content-range") ?? "")?.[1] ?? Number.NaN);
  if (first.status === 206 && Number.isSafeInteger(total)) {
    await first.body?.cancel();
    return { name, byteLength: total, read: (start, end) => readRange(url, name, start, end, total, signal) };
  }
  const whole = first.status === 206 ? await request(url, name, { signal }) : first;
  warnOnce("range-unsupported", `${name}: the server has no range requests; the whole file is kept in memory.`, {
    url,
  });
  const pieces: Uint8Array[] = [];
  for await (const piece of bodyOf(whole, name)) pieces.push(piece);
  const bytes = new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
  return { name, byteLength: bytes.length, read: async (start, end) => bytes.slice(start, end) };
}

async function readRange(
  url: string,
  name: string,
  start: number,
  end: number,
  total: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const out = new Uint8Array(Math.max(0, end - start));
  if (out.length === 0) return out;
  const response = await request(url, name, { signal, headers: { Range: `bytes=${start}-${end - 1}` } });
  if (response.status !== 206) {
    await response.body?.cancel();
    throw new DataError(`${name}: asked for bytes ${start} to ${end}, the server answered with the whole file.`, {
      where: name,
    });
  }
  // Pages of other origins may not be shown what came.
  const came = response.headers.get("content-range");
  const [, first = "", of = ""] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(came ?? "") ?? [];
  if (came !== null && (Number(first) !== start || (of !== "*" && Number(of) !== total))) {
    await response.body?.cancel();
    throw new DataError(`${name}: asked for bytes from ${start} of ${total}, the server sent ${came}.`, {
      where: name,
      hint: "The file has changed since it was opened, perhaps: open it again.",
    });
  }
  let at = 0;
  for await (const piece of bodyOf(response, name)) {
    if (at + piece.length > out.length) break;
    out.set(piece, at);
    at += piece.length;
  }
  if (at === out.length) return out;
  throw new DataError(`${name}: asked for ${out.length} bytes at ${start}, got ${at}.`, { where: name });
}
