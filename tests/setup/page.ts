/**
 * A real page with headers of the test's choosing (CSP, isolation) that loads the built package from a plain static
 * server, as a user's page would: no bundler, no test runner in between. Every request the page makes is recorded.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";
import { chromium } from "playwright";
import { browserLaunch } from "../../scripts/browser.mjs";
import { builtDist } from "./dist.js";

export interface PageOptions {
  /** Sent with every response, e.g. `{ "Content-Security-Policy": "default-src 'self'" }`. */
  headers?: Record<string, string>;
  /** The document; by default an empty one. */
  html?: string;
  /** Further files by path, e.g. `{ "/weights.bin": bytes }`. */
  files?: Record<string, string | Uint8Array>;
}

export interface ServedPage {
  /** `http://localhost:port`. */
  origin: string;
  /** URL of every request so far, of the page and its workers, in order. */
  requests: string[];
  /** Console lines, uncaught errors and CSP violations so far. */
  messages: string[];
  /**
   * Runs `code`, the body of an async function, as a module of the page: `import("/dist/index.js")` works in it, and
   * what it returns (JSON values) comes back.
   */
  run<T = unknown>(code: string): Promise<T>;
  close(): Promise<void>;
}

const types: Record<string, string> = { js: "text/javascript", html: "text/html", json: "application/json" };

/** Opens the page, or returns null (with a printed reason) where there is no browser and `REQUIRE_WEBGPU` is not set. */
export async function servePage({ headers = {}, html = "<!doctype html>", files = {} }: PageOptions = {}) {
  const launch = browserLaunch();
  if (!launch && process.env["REQUIRE_WEBGPU"] === "1") throw new Error("REQUIRE_WEBGPU=1, but there is no browser.");
  if (!launch) {
    console.warn("skipping: no browser (set CHROME_PATH)");
    return null;
  }
  const dist = await builtDist();
  const extra = new Map<string, string | Uint8Array>(Object.entries({ "/": html, "/favicon.ico": "", ...files }));

  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url!, "http://localhost").pathname);
    const inDist = path.startsWith("/dist/") ? join(dist, path.slice("/dist/".length)) : undefined;
    const body = extra.get(path) ?? (inDist && (await readFile(inDist).catch(() => undefined)));
    const type = path === "/" ? "text/html" : (types[path.split(".").pop()!] ?? "application/octet-stream");
    response.writeHead(body === undefined ? 404 : 200, { "Content-Type": type, ...headers }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;

  const browser = await chromium.launch(launch);
  const page = await browser.newPage();
  const requests: string[] = [];
  const messages: string[] = [];
  page.context().on("request", (request) => requests.push(request.url()));
  page.on("console", (message) => messages.push(message.text()));
  page.on("pageerror", (error) => messages.push(String(error)));
  await page.addInitScript(() =>
    addEventListener("securitypolicyviolation", (e) => console.log(`CSP: ${e.violatedDirective} ${e.blockedURI}`)),
  );
  await page.goto(origin);

  const served: ServedPage = {
    origin,
    requests,
    messages,
    run(code) {
      const path = `/run-${extra.size}.js`;
      extra.set(path, `export default await (async () => {\n${code}\n})();`);
      // As text: the test runner rewrites `import()` in functions.
      return page.evaluate(`import(${JSON.stringify(path)}).then((module) => module.default)`);
    },
    async close() {
      await browser.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return served;
}
