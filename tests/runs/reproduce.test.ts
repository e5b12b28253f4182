import { type RunManifest, writeManifest } from "tenon/artifacts";
import { loadRun, MemoryStore, reproduce, train } from "tenon/runs";
import { beforeAll, describe, expect, test } from "vitest";
import { VERSION } from "../../src/core/version.js";

const text = "the hen sees the fox and the fox sees the hen. ".repeat(20);
const small = {
  model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
  training: { steps: 4, batchSize: 2, blockSize: 8, evalEvery: 4, sampleEvery: 0, dropout: 0.1 },
  device: "cpu",
} as const;
const store = new MemoryStore();
let ofCorpus: RunManifest;
let ofText: RunManifest;
beforeAll(async () => {
  const made = async (data: object) =>
    (await loadRun((await train({ ...small, data }, { store })).executionId, { store })).manifest;
  ofCorpus = await made({ corpus: "tales", length: 3000 });
  ofText = await made({ text: new File([text], "hens.txt") });
});

describe("reproduce", () => {
  test("a manifest alone is enough for a built-in corpus", async () => {
    let steps = 0;
    const answer = await reproduce(ofCorpus, { threads: 2, onEvent: ({ type }) => (steps += type === "step" ? 1 : 0) });
    expect(answer.verdict).toBe("equal bits");
    expect(answer.statement).toBe("Equal bits: 4 steps gave the same weights.");
    expect(answer.got).toEqual(answer.expected);
    expect(steps).toBe(4);
  });

  test("data are asked for by their hash, whatever their name", async () => {
    await expect(reproduce(ofText)).rejects.toThrow(/it needs hens\.txt \(SHA-256 [0-9a-f]{12}…\)/);
    const answer = await reproduce(ofText, { data: new File([text], "renamed.txt") });
    expect(answer.verdict).toBe("equal bits");
    await expect(reproduce(ofText, { data: new Blob([`${text}more of it`]) })).rejects.toThrow(
      /cannot be compared: the data are not those of the run; .*\. Give the files of its manifest \(by SHA-256\)/,
    );
  });

  test("another result is told with its figures", async () => {
    const claim = { ...ofCorpus, finalWeights: "0".repeat(64), result: { ...ofCorpus.result, trainLoss: 1 } };
    expect(writeManifest(claim)).toMatch(/"finalWeights": "0000/);
    const answer = await reproduce(claim);
    expect(answer.verdict).toBe("differs");
    expect(answer.statement).toMatch(/^Differs: other weights after 4 steps, the loss of the last step differs by \d/);
    const tolerant = { ...claim, result: ofCorpus.result };
    const determinism = { promise: "tolerance", statement: "Close.", tolerances: { loss: 1e-3 } } as const;
    expect((await reproduce({ ...tolerant, determinism })).verdict).toBe("within tolerance");
  });

  test.each([
    [{ status: "stopped", finalWeights: null }, /it is stopped and has no final weights/],
    [{ provisional: "the code of the run has no version" }, /the code of the run has no version/],
    [{ package: { name: "tenon", version: "0.0.1" } }, new RegExp(`made by tenon 0\\.0\\.1, this is ${VERSION}`)],
    [{ config: { data: { corpus: "tales" }, tokenizer: `sha256:${"0".repeat(64)}` } }, /its tokenizer is a file/],
  ] as [Partial<RunManifest>, RegExp][])("refuses %j", async (change, message) => {
    await expect(reproduce({ ...ofCorpus, ...change })).rejects.toThrow(message);
  });
});
