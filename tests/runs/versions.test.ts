/** What earlier versions wrote stays readable: a finished and a stopped run of each, made by scripts/keep-version.mjs. */
import { readdirSync } from "node:fs";
import { loadModel } from "tenon";
import { loadRun, MemoryStore, type RunStore, train, verify } from "tenon/runs";
import { describe, expect, it } from "vitest";
import { VERSION } from "../../src/core/version.js";
import { FileStore } from "../../src/node/file-store.js";

const folder = "tests/fixtures/versions";
const versions = readdirSync(folder);

async function inMemory(from: RunStore, to = new MemoryStore(), path = ""): Promise<MemoryStore> {
  for (const { name, kind } of await from.list(path)) {
    const inner = path === "" ? name : `${path}/${name}`;
    if (kind === "folder") await inMemory(from, to, inner);
    else await to.write(inner, await from.read(inner));
  }
  return to;
}

describe.each(versions)("runs that version %s wrote", (version) => {
  const store = new FileStore(`${folder}/${version}/runs`);

  it("verify, and give their metrics, samples and model", async () => {
    const entries = await store.list("");
    expect(entries).toHaveLength(2);
    for (const { name } of entries) {
      expect(await verify(name, { store })).toMatchObject({ ok: true, problems: [] });
      const run = await loadRun(name, { store });
      expect(run.manifest.package.version).toBe(version);
      expect((await run.metrics()).length).toBeGreaterThan(1);
      expect((await run.samples()).length).toBeGreaterThan(0);
      const last = await run.latestCheckpoint();
      const model = await loadModel({ store, folder: last?.folder as string });
      const { text } = await model.generate("the ", { maxTokens: 4, seed: 1 });
      expect(text.length).toBeGreaterThan(0);
      model.dispose();
    }
  });

  it("go on where they were stopped, to the weights of the one that was not; with that version alone", async () => {
    const copy = await inMemory(store);
    const [done, stopped] = (await store.list("")).map(({ name }) => name);
    if (version !== VERSION) {
      const refused = train(undefined as never, { store: copy, resume: stopped });
      return await expect(refused.result).rejects.toThrow(`it was made by tenon ${version}, this is ${VERSION}`);
    }
    const { manifest } = await loadRun(done, { store });
    const { weightsHash, steps } = await train(undefined as never, { store: copy, resume: stopped });
    expect(steps).toBe(4);
    expect(weightsHash).toBe(manifest.finalWeights);
    expect((await verify(stopped, { store: copy })).problems).toEqual([]);
  });
});
