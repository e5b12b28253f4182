import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { stamp } from "../../src/artifacts/format.js";
import {
  manifestHash,
  parseManifest,
  type RunManifest,
  readManifest,
  writeManifest,
} from "../../src/artifacts/manifest.js";
import { FormatError } from "../../src/core/errors.js";
import { writeText } from "../../src/core/store.js";
import { resolveConfig } from "../../src/runs/config.js";
import { claimExecution, configHash, hashedConfig, runFingerprint, runIdOf } from "../../src/runs/identity.js";
import { MemoryStore } from "../../src/runs/memory-store.js";
import { sampleManifest } from "../runs/sample.js";

/** As somebody else may write it, with a hash that fits. */
function sealed(manifest: object): string {
  const stamped = JSON.parse(JSON.stringify({ ...stamp("tenon-manifest"), ...manifest }));
  return JSON.stringify({ ...stamped, manifestHash: manifestHash(stamped) });
}

describe("a manifest", () => {
  it("comes back as it was written, from text, object, folder and file list", async () => {
    const manifest = sampleManifest();
    const text = writeManifest(manifest);
    expect(parseManifest(text)).toEqual(manifest);
    expect(await readManifest({ json: JSON.parse(text) })).toEqual(manifest);
    const store = new MemoryStore();
    await writeText(store, "r/manifest.json", text);
    expect(await readManifest({ store, folder: "r" })).toEqual(manifest);
    expect(await readManifest({ "manifest.json": new TextEncoder().encode(text) })).toEqual(manifest);
    await expect(readManifest({ store, folder: "q" })).rejects.toThrow(/manifest.json expected, found none/);
  });

  it("writes the same text for the same content", () => {
    expect(writeManifest(sampleManifest())).toBe(writeManifest(sampleManifest()));
  });

  it("keeps NaN and infinities", () => {
    const text = writeManifest(
      sampleManifest({ result: { trainLoss: Number.NaN, valLoss: Number.POSITIVE_INFINITY } }),
    );
    expect(parseManifest(text).result).toEqual({ trainLoss: "NaN", valLoss: "Infinity" });
  });

  it("is known as edited after any change of any value", () => {
    const text = writeManifest(sampleManifest());
    const edited = (edit: (manifest: Record<string, any>) => void) => {
      const manifest = JSON.parse(text);
      edit(manifest);
      return () => parseManifest(JSON.stringify(manifest), "m.json");
    };
    expect(edited((m) => (m.seed = 2))).toThrow(/m.json: was edited after it was written/);
    expect(edited((m) => (m.finalWeights = "b".repeat(64)))).toThrow(/was edited/);
    expect(edited((m) => (m.environment.threads = 9))).toThrow(/was edited/);
    expect(edited((m) => (m.added = true))).toThrow(/was edited/);
    expect(edited((m) => delete m.manifestHash)).toThrow(/was edited/);
    // The order of keys is no content.
    expect(parseManifest(JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(text)).reverse()))).seed).toBe(
      1337,
    );
  });

  it("refuses fields that are missing, wrong or do not fit together", () => {
    const written = (more: Partial<Record<keyof RunManifest, unknown>>) => () =>
      parseManifest(sealed({ ...sampleManifest(), ...more }), "m.json");
    expect(written({ seed: undefined })).toThrow(/m.json: "seed" needs a whole number from 0, got nothing/);
    expect(written({ runId: "../../etc" })).toThrow(/"runId" needs a plain name, got "..\/..\/etc"/);
    expect(written({ executionId: "a/b-1" })).toThrow(/"executionId" needs a plain name/);
    expect(written({ initialWeights: "123" })).toThrow(/"initialWeights" needs 64 hex digits/);
    expect(written({ status: "finished" })).toThrow(/"running", "done", "stopped" or "failed"/);
    expect(written({ runId: "0123456789abcdef" })).toThrow(/does not fit/);
    expect(written({ files: { "../../x": { size: 1, sha256: "0".repeat(64) } } })).toThrow(
      /m.json: "files" needs plain names: "..\/..\/x" holds a separator/,
    );
    expect(written({ determinism: { promise: "tolerance", statement: "s", tolerances: { loss: "x" } } })).toThrow(
      /"determinism.tolerances.loss" needs a number/,
    );
    expect(() => parseManifest("[]", "m.json")).toThrow(/m.json: an object expected, got an array/);
    expect(() => parseManifest(`${"[".repeat(1000)}`, "m.json")).toThrow(/nested deeper/);
  });

  it("is written only where it can be read again", () => {
    const write = (more: Partial<Record<keyof RunManifest, unknown>>) => () =>
      writeManifest({ ...sampleManifest(), ...more } as RunManifest);
    expect(write({ device: "" })).toThrow(/manifest.json: "device" needs a text, got ""/);
    expect(write({ result: [1] })).toThrow(/"result" needs an object, got \[1\]/);
    expect(write({ result: { a: 1n } })).toThrow(/manifest.json: needs JSON, got a bigint/);
    expect(write({ code: { version: "" } })).toThrow(/"code.version" needs a text/);
  });

  it("refuses a text cut short at any byte", () => {
    const text = writeManifest(sampleManifest()).trimEnd();
    for (let length = 0; length < text.length; length++) {
      expect(() => parseManifest(text.slice(0, length)), `cut to ${length}`).toThrow(FormatError);
    }
  });
});

describe("identity", () => {
  const input = { data: { text: "a.txt" } };
  const hash = (more: object, resolved: object = {}) =>
    configHash(
      hashedConfig(resolveConfig({ ...input, ...more }), {
        device: "cpu",
        numerics: "portable",
        dataHash: "d".repeat(64),
        ...resolved,
      }),
    );

  it("does not see paths, threads, output options, budgets and what auto was", () => {
    const plain = hash({});
    expect(plain).toMatch(/^[0-9a-f]{64}$/);
    expect(hash({ data: { text: "/elsewhere/b.txt" } })).toBe(plain);
    expect(hash({ threads: 4, out: "other", memoryBudget: 1e9, deterministic: true })).toBe(plain);
    expect(hash({ device: "cpu" })).toBe(plain);
    expect(hash({ training: { learningRate: 1e-3 } }), "a default written out").toBe(plain);
    expect(hash({ tokenizer: "t.json" }, { tokenizerHash: "t" })).toBe(
      hash({ tokenizer: "u.json" }, { tokenizerHash: "t" }),
    );
  });

  it("sees everything else", () => {
    const hashes = [
      hash({}),
      hash({ seed: 1 }),
      hash({ training: { learningRate: 2e-3 } }),
      hash({ training: { accumulate: 2 } }),
      hash({ model: { n_layer: 2 } }),
      hash({}, { device: "webgpu" }),
      hash({}, { numerics: "fast" }),
      hash({}, { dataHash: "e".repeat(64) }),
      hash({ tokenizer: "byte" }),
      hash({ tokenizer: "t.json" }, { tokenizerHash: "t" }),
      hash({ tokenizer: "t.json" }, { tokenizerHash: "u" }),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  it("has a fixed form: this fingerprint changes only with a line in docs/decisions.md", () => {
    const identity = {
      configHash: "1".repeat(64),
      initialWeights: "2".repeat(64),
      tokenizer: null,
      data: "3".repeat(64),
      packageVersion: "0.1.0",
    };
    const fingerprint = runFingerprint(identity);
    expect(runIdOf(fingerprint)).toBe(fingerprint.slice(0, 16));
    const canonical = `{"code":null,"configHash":"${"1".repeat(64)}","data":"${"3".repeat(64)}","initialWeights":"${"2".repeat(64)}","kind":"tenon-run","packageVersion":"0.1.0","tokenizer":null}`;
    expect(fingerprint).toBe(createHash("sha256").update(canonical).digest("hex"));
    for (const key of Object.keys(identity)) {
      expect(runFingerprint({ ...identity, [key]: "x" })).not.toBe(fingerprint);
    }
  });

  it("counts executions, each with a folder of its own", async () => {
    const store = new MemoryStore();
    const ids = await Promise.all([1, 2, 3].map(() => claimExecution(store, "abc")));
    expect(ids.sort()).toEqual(["abc-1", "abc-2", "abc-3"]);
  });
});
