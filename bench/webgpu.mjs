// `node bench/webgpu.mjs`: WebGPU in one Chromium, Tenon beside jax-js, tfjs and onnxruntime-web in turns; prints tables.
// On a software adapter the times are those of a processor that plays a graphics card: only the ratios mean something.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join, normalize } from "node:path";
import { chromium } from "playwright";
import { rolldown } from "rolldown";
import { browserLaunch, isolation } from "../scripts/browser.mjs";
import { least, ratio, table as tableOf } from "./tables.mjs";

const launch = browserLaunch();
if (!launch) {
  console.error("bench webgpu: no browser (set CHROME_PATH).");
  process.exit(3);
}
const modules = "bench/node_modules";
const versionOf = async (name) =>
  JSON.parse(await readFile(`${modules}/${name}/package.json`, "utf8").catch(() => "{}")).version ?? "absent";

const bundle = await rolldown({ input: "bench/webgpu-page.ts", platform: "browser", external: ["@jax-js/jax"] });
const { output } = await bundle.generate({ format: "esm" });
await bundle.close();
const files = new Map(output.map((file) => [`/${file.fileName}`, file.code]));
const imports = JSON.stringify({ imports: { "@jax-js/jax": "/jax/index.js" } });
const scripts = ["/tfjs/tf.min.js", "/tfjs-webgpu/tf-backend-webgpu.min.js", "/ort/ort.all.min.js"];
files.set(
  "/",
  `<!doctype html><script type="importmap">${imports}</script>${scripts.map((src) => `<script src="${src}"></script>`).join("")}`,
);
/** Where the files of peers lie. */
const folders = {
  jax: "@jax-js/jax/dist",
  tfjs: "@tensorflow/tfjs/dist",
  "tfjs-webgpu": "@tensorflow/tfjs-backend-webgpu/dist",
  ort: "onnxruntime-web/dist",
  peers: "../peers",
};
const types = { js: "text/javascript", mjs: "text/javascript", wasm: "application/wasm" };

const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, "http://localhost").pathname);
  const [, place, ...rest] = path.split("/");
  const body =
    files.get(path) ??
    (folders[place] && (await readFile(join(modules, folders[place], ...rest)).catch(() => undefined)));
  const type = path === "/" ? "text/html" : (types[path.split(".").at(-1)] ?? "text/plain");
  response
    .writeHead(body === undefined ? 404 : 200, {
      "Content-Type": type,
      ...isolation,
    })
    .end(body);
});
await new Promise((resolve) => server.listen(0, "localhost", resolve));
const browser = await chromium.launch(launch);

const table = (head, rows) => console.log(`${tableOf(head, rows)}\n`);
const show = (time) => (time === undefined ? "absent" : time.toFixed(time < 100 ? 1 : 0));
const absent = (missing) => {
  for (const [name, reason] of Object.entries(missing)) console.log(`${name}: absent, ${reason}\n`);
};

try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(String(error)));
  /** Runs one of the page's functions. */
  const ask = (name, ...given) =>
    page.evaluate(`import("/${output[0].fileName}").then((bench) => bench.${name}(...${JSON.stringify(given)}))`);
  const load = () => page.goto(`http://localhost:${server.address().port}/`);
  await load();
  const adapter = await page.evaluate(async () => {
    const { info } = await navigator.gpu.requestAdapter();
    return { name: `${info.vendor} ${info.architecture}`, fallback: /swiftshader|llvmpipe/.test(info.architecture) };
  });
  const note = adapter.fallback ? " (a processor that plays a graphics card)" : "";
  console.log(
    `Chromium ${browser.version()}, adapter ${adapter.name}${note}; jax-js ${await versionOf("@jax-js/jax")},`,
  );
  console.log(
    `tfjs-webgpu ${await versionOf("@tensorflow/tfjs-backend-webgpu")}, onnxruntime-web ${await versionOf("onnxruntime-web")}.`,
  );
  console.log("All in one page, in turns; the best of each, reading of the result included.\n");

  const shape = { layers: 4, heads: 4, width: 128, context: 64, batch: adapter.fallback ? 2 : 12, vocabulary: 65 };
  const words = `baby GPT (4 layers, 4 heads, 128 wide, context 64, batch ${shape.batch})`;
  const first = await ask("firstStep", shape);
  console.log(
    `First step of the ${words} after the page has loaded: ${show(first.create)} ms for device, weights and pipelines of the forward pass, ${show(first.step)} ms for the other pipelines and the step; ${first.pipelines} pipelines.\n`,
  );
  const { whole, parts, decode, recording, step } = await ask("costs", shape);
  const less = await ask("costs", { ...shape, layers: shape.layers - 1 });
  const layer = (name) => parts[name] - less.parts[name];
  console.log(
    `A step is ${whole.dispatches} dispatches in ${whole.submits} submit${whole.submits === 1 ? "" : "s"}: ${parts.forward} forward (${layer("forward")} per layer), ${parts.backward} backward (${layer("backward")} per layer), ${parts.update} for norm and update. Recording it takes ${show(recording)} ms of ${show(step)} ms (${((100 * recording) / step).toFixed(0)}%). A token decoded is ${decode} dispatches (${decode - less.decode} per layer).\n`,
  );

  await load();
  const { times, missing } = await ask("runSteps", shape, adapter.fallback ? 7 : 19);
  table(
    [`Training step, ${words}`, "ms", "tenon is faster by"],
    Object.entries(times).map(([name, time]) => [name, show(time), name === "tenon" ? "" : ratio(time, times.tenon)]),
  );
  absent(missing);

  const sizes = adapter.fallback ? [256, 512] : [1024, 2048, 4096];
  const names = ["tenon", "jax-js", "tfjs-webgpu", "onnxruntime-web"];
  const rows = [];
  for (const size of sizes) {
    await load();
    const { times, missing } = await ask("runProducts", size, 5);
    rows.push([
      `${size} x ${size} x ${size}`,
      ...names.map((name) => show(times[name])),
      ratio(least(...names.slice(1).map((name) => times[name])), times.tenon),
    ]);
    if (size === sizes[0]) absent(missing);
  }
  table(["Matrix product, float32, ms", ...names, "tenon is faster than the best peer by"], rows);
} finally {
  await browser.close();
  server.close();
}
