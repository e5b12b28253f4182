/** Runs, archives and files that come from elsewhere: they open nothing, destroy nothing, and block nothing. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesSource } from "tenon/artifacts";
import { exportRun, importRun, MemoryStore, openStore, startRun, train, verify } from "tenon/runs";
import { afterAll, expect, test, vi } from "vitest";
import { parseManifest, type RunManifest, writeManifest } from "../../src/artifacts/manifest.js";
import { platform } from "../../src/core/platform.js";
import { readText, writeText } from "../../src/core/store.js";
import { putBlob } from "../../src/runs/blobs.js";

const folder = mkdtempSync(join(tmpdir(), "tenon-foreign-"));
afterAll(() => rmSync(folder, { recursive: true }));
const weights = { w: { dtype: "F32", shape: [1], data: new Float32Array([1]) } } as const;

async function aRun(store = new MemoryStore()) {
  const run = await startRun({ lr: 1 }, { store, codeVersion: "1" });
  await run.checkpoint(1, weights);
  await run.finish({ weights });
  return { store, id: run.id };
}

async function archiveOf(id: string, store: MemoryStore) {
  const pieces: Uint8Array[] = [];
  for await (const piece of exportRun(id, { store })) pieces.push(piece);
  return bytesSource(new Uint8Array(Buffer.concat(pieces)), "stranger.tar");
}

async function change(store: MemoryStore, id: string, edit: (manifest: RunManifest) => RunManifest) {
  const path = `${id}/manifest.json`;
  await writeText(store, path, writeManifest(edit(parseManifest(await readText(store, path)))));
}

test("importing opens no path that the manifest names; verifying does when told, and regular files alone", async () => {
  const { store, id } = await aRun();
  const secret = join(folder, "secret.txt");
  writeFileSync(secret, "top secret");
  const fifo = join(folder, "fifo");
  execFileSync("mkfifo", [fifo]);
  const sources = [secret, fifo].map((name) => ({ name, size: 1, sha256: "0".repeat(64) }));
  await change(store, id, (manifest) => ({ ...manifest, data: { ...manifest.data, sources } }));
  const opened = vi.spyOn(platform(), "openFile");
  try {
    const there = new MemoryStore();
    expect(await importRun(await archiveOf(id, store), { store: there })).toBe(id);
    const { ok, notes } = await verify(id, { store: there });
    expect(ok).toBe(true);
    expect(notes.join("\n")).toMatch(/fifo: the data were not checked .*; verify with data: true opens them by name/);
    expect(opened).not.toHaveBeenCalled();
    const told = await verify(id, { store: there, data: true });
    expect(told.problems.join("\n")).toMatch(/secret.txt: the data changed/);
    expect(told.notes.join("\n")).toMatch(/fifo: the data are not there any more/);
    await expect(platform().openFile!(fifo)).rejects.toThrow(/fifo: is a pipe or a device, a file was expected/);
  } finally {
    opened.mockRestore();
  }
});

test("an import that was killed does not block the next one; two at once do not mix", async () => {
  const { store, id } = await aRun();
  const archive = await archiveOf(id, store);
  const there = new MemoryStore();
  await writeText(there, `${id}/metrics.jsonl`, "half");
  await writeText(there, `${id}/checkpoints/step-000009/model.safetensors`, "half");
  const both = await Promise.allSettled([importRun(archive, { store: there }), importRun(archive, { store: there })]);
  expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  expect(await verify(id, { store: there })).toMatchObject({ ok: true, notes: [] });
  await expect(importRun(archive, { store: there })).rejects.toThrow(/holds .* already, nothing is overwritten/);
  await expect(importRun(5 as never, { store: there })).rejects.toThrow(/importRun: needs an archive .* got a number/);
});

test("a link among the files of a run is refused by name", async () => {
  const store = openStore(join(folder, "linked"));
  const run = await startRun({ lr: 1 }, { store, codeVersion: "1" });
  await run.checkpoint(1, weights);
  await run.finish();
  symlinkSync("step-000001", join(folder, "linked", run.id, "checkpoints/latest"));
  const all = async () => {
    for await (const _ of exportRun(run.id, { store }));
  };
  await expect(all()).rejects.toThrow(
    /exportRun: needs files and folders, got .*\/checkpoints\/latest, which is neither/,
  );
});

test("a file whose name ends like a temporary one goes along", async () => {
  const store = openStore(join(folder, "notes"));
  const run = await startRun({ lr: 1 }, { store, codeVersion: "1" });
  await run.checkpoint(1, weights, { "notes.tmp": "x" });
  await run.finish();
  expect(await importRun(await archiveOf(run.id, store as never), { store: new MemoryStore() })).toBe(run.id);
});

test("what a stream that was cut short left in a store is removed by the next one, and no other's", async () => {
  const store = openStore(join(folder, "streams"));
  await writeText(store, "blobs/data/incoming-0/bytes", "half");
  await writeText(store, "blobs/data/incoming-7/bytes", "half");
  let inside: string[] = [];
  async function* slow() {
    yield new Uint8Array(3);
    // Another one meanwhile, which must leave this alone.
    await putBlob(store, new Uint8Array(4));
    inside = (await store.list("blobs/data")).map(({ name }) => name);
    yield new Uint8Array(3);
  }
  await putBlob(store, slow());
  expect(inside.filter((name) => name.startsWith("incoming"))).toEqual(["incoming-0"]);
  const names = (await store.list("blobs/data")).map(({ name }) => name);
  expect(names).toHaveLength(2);
  expect(names.every((name) => /^[0-9a-f]{64}$/.test(name))).toBe(true);
});

test("a run closes what it reads: files of a table, and generators", async () => {
  const path = join(folder, "rows.csv");
  writeFileSync(path, `a,y\n${Array.from({ length: 100_000 }, (_, i) => `${i},${i % 3}`).join("\n")}\n`);
  const closed = vi.fn();
  const host = platform();
  const open = host.openFile!;
  const spy = vi.spyOn(host, "openFile").mockImplementation(async (name) => {
    const source = await open(name);
    const close = async () => {
      closed();
      await source.close?.();
    };
    return { ...source, close };
  });
  const data = { csv: path, target: "y", cache: false };
  await train({ data, training: { steps: 2, evalFraction: 0.01 }, device: "cpu" }, { store: new MemoryStore() });
  expect(spy.mock.calls.length).toBe(closed.mock.calls.length);
  spy.mockRestore();

  let ended = 0;
  async function* batches() {
    try {
      for (;;) yield [1];
    } finally {
      ended++;
    }
  }
  const { tensor } = await import("tenon");
  const weight = tensor([1], { requiresGrad: true });
  const source = { [Symbol.asyncIterator]: batches };
  await train(
    { parameters: [weight], step: () => 1, batches: source, codeVersion: "1", training: { steps: 3 } },
    { store: new MemoryStore() },
  );
  expect(ended).toBe(1);
  weight.dispose();
});

test("appending to a file in memory copies it now and then, not each time", async () => {
  const store = new MemoryStore();
  const line = new Uint8Array(1000).fill(7);
  const set = vi.spyOn(Uint8Array.prototype, "set");
  for (let i = 0; i < 500; i++) await store.append("a/b", line);
  const copied = set.mock.calls.reduce((sum, [bytes]) => sum + bytes.length, 0);
  set.mockRestore();
  expect(copied).toBeLessThan(2_500_000);
  expect(await store.size("a/b")).toBe(500_000);
  expect((await store.read("a/b", 499_999))[0]).toBe(7);
  await store.truncate("a/b", 10);
  await store.append("a/b", line);
  expect((await store.read("a/b")).length).toBe(1010);
});
