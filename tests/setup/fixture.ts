/** Reads test data in Node and in pages alike, so that one test file runs in both. */

const here = import.meta.url;

/** Bytes of `tests/fixtures/<path>`. */
export async function readFixture(path: string): Promise<Uint8Array> {
  const url = new URL(`../fixtures/${path}`, here);
  if (url.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return readFile(url);
  }
  const response = await fetch(url);
  // The test server answers unknown paths with its own page.
  if (!response.ok || response.headers.get("content-type") === "text/html")
    throw new Error(`no fixture ${path} (${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}

/** `tests/fixtures/<path>` as JSON. */
export async function readJson<T = unknown>(path: string): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await readFixture(path)));
}
