/** The built package in pages that forbid things: it must load, say what is missing, and ask the network for nothing. */
import { expect, test } from "vitest";
import { servePage } from "../setup/page.js";

/** No WebAssembly (`wasm-unsafe-eval` is missing), no Blob workers, no connection to anywhere else. */
const strict = "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'";

test("the entry points load under a strict Content Security Policy and make no other request", async ({ skip }) => {
  const page = await servePage({ headers: { "Content-Security-Policy": strict } });
  if (!page) return skip("no browser");
  try {
    const wasm = await page.run(`try { new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])); }
      catch (error) { return error.name; }`);
    expect(wasm).toBe("CompileError");

    await page.run(`for (const name of ["index", "nn", "optim", "models", "tokenizers"])
      await import("/dist/" + name + ".js");`);
    expect(page.requests.filter((url) => !url.startsWith(`${page.origin}/`))).toEqual([]);
    expect(page.requests).toContain(`${page.origin}/dist/index.js`);
  } finally {
    await page.close();
  }
});
