/** The playground in a real browser, as `npm run playground` serves it, and as a host without headers does. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright";
import { bytesSource } from "tenon/artifacts";
import { exportRun, importRun, loadRun, MemoryStore, train } from "tenon/runs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { browserLaunch } from "../../scripts/browser.mjs";
import { buildPlayground, servePlayground } from "../../scripts/playground.mjs";

const launch = browserLaunch();
if (!launch && process.env["REQUIRE_WEBGPU"] === "1") throw new Error("REQUIRE_WEBGPU=1, but there is no browser.");
if (!launch) console.warn("skipping the playground: no browser (set CHROME_PATH)");

const dir = mkdtempSync(join(tmpdir(), "tenon-playground-"));
let browser: Browser;

beforeAll(async () => {
  if (!launch) return;
  await buildPlayground(dir);
  browser = await chromium.launch(launch);
}, 120_000);
afterAll(async () => {
  await browser?.close();
  rmSync(dir, { recursive: true });
});

/** Opens the page, uses it, and sees that nothing went wrong on it. */
async function playground(
  isolated: boolean,
  use: (page: Page) => Promise<void>,
  { query = "", before }: { query?: string; before?: (page: Page) => Promise<void> } = {},
): Promise<void> {
  const { url, close } = await servePlayground(dir, { port: 0, isolated });
  const page = await browser.newPage();
  await before?.(page);
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  try {
    await page.goto(url + query);
    await page.waitForSelector("html[data-ready]");
    await use(page);
    expect(problems).toEqual([]);
  } finally {
    await page.close();
    await close();
  }
}

async function learn(page: Page, steps = 12): Promise<string> {
  await page.fill("#learn [name=steps]", String(steps));
  await page.selectOption("#learn [name=size]", "tiny");
  await page.fill("#learn [name=dropout]", "0.1");
  await page.click("#train");
  await page.waitForSelector("#write [type=submit]:not(:disabled)");
  expect(await page.textContent("#status")).toMatch(
    new RegExp(`^Done after ${steps} steps: loss [\\d.]+, [\\d,]+ tokens/s\\.$`),
  );
  expect(await page.locator("#plot svg polyline").count()).toBe(1);
  return (await page.textContent("#weights-hash")) as string;
}

async function downloaded(page: Page, button: string): Promise<{ name: string; bytes: Buffer }> {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

const manifestFile = (bytes: Buffer) => ({ name: "manifest.json", mimeType: "application/json", buffer: bytes });
const verdict = async (page: Page, pattern: RegExp) => {
  await page.waitForFunction(
    (source) => new RegExp(source).test(document.getElementById("verdict")!.textContent!),
    pattern.source,
  );
  return page.textContent("#verdict");
};

/** The device of the worker's first training goes away after its 20th submit. */
const losesItsDevice = `{
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (options) {
    const device = await request.call(this, options);
    const submit = device.queue.submit.bind(device.queue);
    let left = 20;
    device.queue.submit = (commands) => {
      submit(commands);
      if (--left === 0) device.destroy();
    };
    return device;
  };
}`;

describe.skipIf(!launch)("the playground on WebGPU", () => {
  const software = { query: "?adapter=software" };
  /** Two steps on a short text: a processor plays the graphics card. */
  const learnOnCard = async (page: Page): Promise<string> => {
    const buffer = Buffer.from("the hen sees the fox and the fox sees the hen. ".repeat(60));
    await page.setInputFiles("#file", { name: "hens.txt", mimeType: "text/plain", buffer });
    await page.selectOption("#learn [name=device]", "webgpu");
    return learn(page, 2);
  };

  test(
    "a processor that plays a graphics card is not chosen, and the page says so",
    () =>
      playground(true, async (page) => {
        const chip = (await page.textContent("#chips")) as string;
        if (/WebGPU: /.test(chip)) return; // this machine has a graphics card
        expect(await page.textContent("#device-note")).toMatch(/^WebGPU cannot be chosen: .+\.$/);
        expect(await page.locator("#learn option[value=webgpu]").isDisabled()).toBe(true);
      }),
    60_000,
  );

  test(
    "trains, writes, and makes its record again",
    () =>
      playground(
        true,
        async (page) => {
          expect(await page.textContent("#chips")).toMatch(/\d+ threads?.*WebGPU: \S+/);
          expect(await learnOnCard(page)).toMatch(/^[0-9a-f]{64}$/);
          expect(await page.textContent("#device-note")).toBe("");
          expect(await page.textContent("#write-status")).toMatch(/tokens, on WebGPU\.$/);
          await page.fill("#write [name=maxTokens]", "20");
          await page.click("#write [type=submit]");
          await page.waitForSelector("#again:not([hidden])");
          await page.click("#again");
          await page.waitForFunction(() =>
            document.getElementById("write-status")!.textContent!.startsWith("Equal: all 20"),
          );
        },
        software,
      ),
    90_000,
  );

  test(
    "a device that is lost: the CPU trains instead, and the page says why",
    () =>
      playground(
        true,
        async (page) => {
          expect(await learnOnCard(page)).toMatch(/^[0-9a-f]{64}$/);
          expect(await page.textContent("#device-note")).toMatch(
            /^WebGPU failed, so the CPU trained: webgpu: the device was lost \(.+\)\.$/,
          );
          expect(await page.textContent("#write-status")).toMatch(/, on the CPU\.$/);
          expect(await page.locator("#plot svg polyline").count()).toBe(1);
        },
        {
          ...software,
          async before(page) {
            await page.route(/worker.*\.js/, async (route) => {
              const response = await route.fetch();
              await route.fulfill({ response, body: losesItsDevice + (await response.text()) });
            });
          },
        },
      ),
    60_000,
  );
});

describe.skipIf(!launch)("the playground", () => {
  let hash: string;

  test(
    "isolated: trains, writes the same twice, and its run is one that Node opens and repeats",
    () =>
      playground(true, async (page) => {
        expect(await page.textContent("#chips")).toMatch(/\d+ threads?SIMDcross-origin isolated/);
        hash = await learn(page);
        expect(hash).toMatch(/^[0-9a-f]{64}$/);

        await page.fill("#write [name=maxTokens]", "40");
        await page.click("#write [type=submit]");
        await page.waitForSelector("#again:not([hidden])");
        expect(((await page.textContent("#text")) as string).length).toBeGreaterThan(40);
        await page.click("#again");
        await page.waitForFunction(() =>
          document.getElementById("write-status")!.textContent!.startsWith("Equal: all 40"),
        );

        const archive = await downloaded(page, "#archive");
        const store = new MemoryStore();
        const id = await importRun(bytesSource(new Uint8Array(archive.bytes), archive.name), { store });
        expect(archive.name).toBe(`${id}.tar`);
        const { manifest, config } = await loadRun(id, { store });
        expect(manifest.finalWeights).toBe(hash);
        const again = await train((await config()) as never, { store: new MemoryStore() });
        expect([again.runId, again.weightsHash]).toEqual([manifest.runId, hash]);

        const claim = await downloaded(page, "#manifest");
        await page.setInputFiles("#manifest-files", manifestFile(claim.bytes));
        expect(await verdict(page, /^(Equal bits|Differs)/)).toBe(
          `Equal bits: 12 steps gave the same weights. Here: ${hash.slice(0, 16)}…`,
        );
        const edited = Buffer.from(claim.bytes.toString().replace('"seed": 1337', '"seed": 1338'));
        await page.setInputFiles("#manifest-files", manifestFile(edited));
        expect(await verdict(page, /edited/)).toMatch(/was edited after it was written/);

        const folder = `${id}/checkpoints/step-000012`;
        const names = ["config.json", "model.safetensors", "tokenizer.json"];
        const files = await Promise.all(
          names.map(async (name) => ({
            name,
            mimeType: "application/octet-stream",
            buffer: Buffer.from(await store.read(`${folder}/${name}`)),
          })),
        );
        await page.setInputFiles("#files", files);
        await page.waitForFunction(() =>
          document.getElementById("write-status")!.textContent!.startsWith("A model of"),
        );
      }),
    60_000,
  );

  test(
    "a run that Node made opens from its archive, and so does one that is here already",
    () =>
      playground(true, async (page) => {
        const store = new MemoryStore();
        const text = new File(["the hen sees the fox and the fox sees the hen. ".repeat(40)], "hens.txt");
        const config = {
          data: { text },
          model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
          training: { steps: 2, batchSize: 2, blockSize: 8, sampleEvery: 0 },
          device: "cpu",
        } as const;
        const { executionId } = await train(config, { store });
        const pieces: Uint8Array[] = [];
        for await (const piece of exportRun(executionId, { store })) pieces.push(piece.slice());
        const archive = { name: `${executionId}.tar`, mimeType: "application/x-tar", buffer: Buffer.concat(pieces) };
        for (let time = 0; time < 2; time++) {
          await page.evaluate(() => {
            document.getElementById("write-status")!.textContent = "";
          });
          await page.setInputFiles("#files", archive);
          await page.waitForFunction(() =>
            document.getElementById("write-status")!.textContent!.startsWith("A model of"),
          );
        }
        const broken = { ...archive, name: "x.tar", buffer: archive.buffer.subarray(0, 4000) };
        await page.setInputFiles("#files", broken);
        await page.waitForFunction(() =>
          /x\.tar: .*expected/.test(document.getElementById("write-status")!.textContent!),
        );
      }),
    60_000,
  );

  test(
    "without headers: one thread, which it says, and the same bits",
    () =>
      playground(false, async (page) => {
        expect(await page.textContent("#chips")).toMatch(/^1 thread/);
        expect(await page.textContent("#missing")).toMatch(/SharedArrayBuffer|isolat/i);
        expect(await learn(page)).toBe(hash);
      }),
    60_000,
  );

  test(
    "a text of one's own is learnt, narrow pages do not scroll sideways, and a wrong file is told",
    () =>
      playground(true, async (page) => {
        await page.setViewportSize({ width: 360, height: 700 });
        const buffer = Buffer.from("the hen sees the fox and the fox sees the hen. ".repeat(60));
        await page.setInputFiles("#file", { name: "hens.txt", mimeType: "text/plain", buffer });
        expect(await page.textContent("#file-name")).toMatch(/^hens\.txt/);
        expect(await learn(page)).not.toBe(hash);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
        // A window that gets wider gets a plot of its width.
        await page.setViewportSize({ width: 800, height: 700 });
        await page.waitForFunction(() => {
          const plot = document.getElementById("plot")!;
          return plot.querySelector("svg")!.viewBox.baseVal.width === plot.clientWidth;
        });
        const unnamed = await page.evaluate(() =>
          [...document.querySelectorAll("input, select, button")]
            .filter((field) => !(field as HTMLInputElement).labels?.length && !field.ariaLabel && !field.textContent)
            .map((field) => field.outerHTML),
        );
        expect(unnamed).toEqual([]);
        await page.evaluate(() => document.getElementById("again")!.click());
        await page.waitForSelector("#write-status.problem");
        expect(await page.textContent("#write-status")).toBe("Nothing has been written yet.");
        await page.evaluate(() => document.getElementById("write-status")!.classList.remove("problem"));
        await page.setInputFiles("#files", { name: "weights.bin", mimeType: "application/octet-stream", buffer });
        await page.waitForSelector("#write-status.problem");
        expect(await page.textContent("#write-status")).toMatch(/config\.json/);
      }),
    60_000,
  );
});
