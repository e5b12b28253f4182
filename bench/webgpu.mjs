// `node bench/webgpu.mjs [sizes…]`: matrix products on WebGPU in one Chromium, beside jax-js, ratios printed. On a
// software adapter the times are those of a processor that plays a graphics card: only the ratios mean something.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { chromium } from "playwright";
import { rolldown } from "rolldown";
import { browserLaunch } from "../scripts/browser.mjs";

const sizes = process.argv.slice(2).map(Number);
const bundle = await rolldown({ input: "bench/webgpu-page.ts", platform: "browser", external: ["@jax-js/jax"] });
const { output } = await bundle.generate({ format: "esm" });
await bundle.close();
const files = new Map(output.map((file) => [`/${file.fileName}`, file.code]));
const imports = JSON.stringify({ imports: { "@jax-js/jax": "/jax/index.js" } });
files.set("/", `<!doctype html><script type="importmap">${imports}</script>`);

const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  const peer = path.match(/^\/jax\/([\w.-]+\.js)$/)?.[1];
  const body = peer
    ? await readFile(`bench/node_modules/@jax-js/jax/dist/${peer}`).catch(() => undefined)
    : files.get(path);
  const type = path === "/" ? "text/html" : "text/javascript";
  response.writeHead(body === undefined ? 404 : 200, { "Content-Type": type }).end(body);
});
await new Promise((resolve) => server.listen(0, "localhost", resolve));
const browser = await chromium.launch(browserLaunch());
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(String(error)));
  await page.goto(`http://localhost:${server.address().port}/`);
  const info = await page.evaluate(async () => {
    const { vendor, architecture } = (await navigator.gpu.requestAdapter()).info;
    return `${vendor} ${architecture}`;
  });
  console.log(`Adapter: ${info}`);
  for (const size of sizes.length > 0 ? sizes : [256, 512]) {
    const best = await page.evaluate(`import("/${output[0].fileName}").then((bench) => bench.run(${size}))`);
    const ratio = (best["jax-js"] / best.tenon).toFixed(2);
    console.log(`${size}: tenon ${best.tenon.toFixed(1)} ms, jax-js ${best["jax-js"].toFixed(1)} ms: ${ratio}x`);
  }
} finally {
  await browser.close();
  server.close();
}
