/** The same table of promises over the browser's private file system, in the page and in a worker. */
import { loadModel, train } from "tenon";
import { describe, expect, it } from "vitest";
import { OpfsStore } from "../../src/artifacts/opfs-store.js";
import { bytesSource } from "../../src/artifacts/sources.js";
import { exportRun, importRun } from "../../src/runs/archive.js";
import { loadRun } from "../../src/runs/list.js";
import { MemoryStore } from "../../src/runs/memory-store.js";
import { openStore } from "../../src/runs/store.js";
import { verify } from "../../src/runs/verify.js";
import { writeSampleRun } from "../runs/sample.js";
import { storeCases } from "../runs/store-cases.js";

const folder = () => `test-${crypto.randomUUID()}`;

async function emptied(name: string, use: (store: OpfsStore) => Promise<void>): Promise<void> {
  try {
    await use(new OpfsStore(name));
  } finally {
    const root = await navigator.storage.getDirectory();
    await root.removeEntry(name, { recursive: true }).catch(() => undefined);
  }
}

describe("in the page", () => {
  it.each(storeCases)("%s", (_, run) => emptied(folder(), (store) => run(store, expect)));

  it("a run is written, verified, and carried into another store as one archive", async () => {
    await emptied(folder(), async (store) => {
      const run = await writeSampleRun(store);
      expect((await verify(run, { store })).problems).toEqual([]);
      const pieces: Uint8Array<ArrayBuffer>[] = [];
      for await (const piece of exportRun(run, { store })) pieces.push(piece.slice());
      const archive = new Uint8Array(await new Blob(pieces).arrayBuffer());
      const there = new MemoryStore();
      await importRun(bytesSource(archive, "run.tar"), { store: there });
      expect((await loadRun(run, { store: there })).manifest).toEqual((await loadRun(run, { store })).manifest);
    });
  });

  it("a model is loaded from the checkpoint of a run by the name that the run gave its folder", async () => {
    await emptied(folder(), async (store) => {
      const { runDir } = await train(
        {
          data: { corpus: "tales", length: 1000 },
          model: { n_layer: 1, n_head: 1, n_embd: 4 },
          training: { steps: 1, batchSize: 1, blockSize: 4, sampleEvery: 0 },
          device: "cpu",
        },
        { store },
      );
      const { tokens } = await (await loadModel(`${runDir}/checkpoints/step-000001`)).generate("One", { maxTokens: 3 });
      expect(tokens.length).toBe(3);
      await expect(loadModel(`${runDir}/checkpoints/step-000002`)).rejects.toThrow(/config\.json/);
      await expect(loadModel("opfs:/../escape")).rejects.toThrow(/needs a path inside the store/);
    });
  });

  it("a text opens the private file system", () => {
    expect(openStore("runs").name).toBe("opfs:/runs");
  });
});

describe("in a worker", () => {
  it("all promises hold, with the quick way of appending that workers have", async () => {
    const worker = new Worker(new URL("../setup/opfs-worker.ts", import.meta.url), { type: "module" });
    try {
      const results = await new Promise<[name: string, problem: string | null][]>((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage(folder());
      });
      expect(results).toEqual([["has the quick way", null], ...storeCases.map(([name]) => [name, null])]);
    } finally {
      worker.terminate();
    }
  });
});
