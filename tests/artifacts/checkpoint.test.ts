import { describe, expect, it } from "vitest";
import {
  checkpointName,
  checkpointProblems,
  latestCheckpoint,
  openCheckpoint,
  readCheckpointFile,
  writeCheckpoint,
} from "../../src/artifacts/checkpoint.js";
import { safetensorsChunks, weightsHash, writeSafetensors } from "../../src/artifacts/safetensors-write.js";
import { openFolder } from "../../src/artifacts/sources.js";
import { readTrainingState, TRAINING_STATE, writeTrainingState } from "../../src/artifacts/training-state.js";
import { openWeights } from "../../src/artifacts/weights.js";
import { FormatError } from "../../src/core/errors.js";
import { Generator } from "../../src/core/random.js";
import { type RunStore, readText, writeText } from "../../src/core/store.js";
import { setWarningListener, type Warning } from "../../src/core/warnings.js";
import { MemoryStore } from "../../src/runs/memory-store.js";

const weights = { "wte.weight": { dtype: "F32", shape: [2], data: new Float32Array([1, 2]) } } as const;
const parent = "abc-1/checkpoints";

const write = (store: RunStore, step: number) =>
  writeCheckpoint(store, `${parent}/${checkpointName(step)}`, step, {
    "config.json": '{"model_type":"gpt2"}',
    "model.safetensors": safetensorsChunks(weights),
    "optimizer.safetensors": writeSafetensors({}, { format: "tenon-optimizer", formatVersion: "1.0" }),
  });

function warningsOf<T>(run: () => Promise<T>): Promise<[T, Warning[]]> {
  const warnings: Warning[] = [];
  const previous = setWarningListener((warning) => warnings.push(warning));
  return run()
    .then((result): [T, Warning[]] => [result, warnings])
    .finally(() => setWarningListener(previous));
}

describe("a checkpoint folder", () => {
  it("lists every file with size and hash, and its weights' hash is that of the file", async () => {
    const store = new MemoryStore();
    const { folder, files } = await write(store, 500);
    expect(folder).toBe("abc-1/checkpoints/step-000500");
    expect(files["model.safetensors"].sha256).toBe(await weightsHash(weights));
    expect(await checkpointProblems(store, folder)).toEqual([]);
    const list = JSON.parse(await readText(store, `${folder}/checkpoint.json`));
    expect(list).toEqual({ format: "tenon-checkpoint", formatVersion: "1.0", step: 500, files });
    const reader = await openWeights(openFolder({ store, folder }));
    expect((await reader.read("wte.weight")).data).toEqual(weights["wte.weight"].data);
  });

  it("overwrites nothing that is valid and replaces what a crash left", async () => {
    const store = new MemoryStore();
    const { folder } = await write(store, 1);
    await expect(write(store, 1)).rejects.toThrow(/holds a checkpoint already, nothing is overwritten/);
    await writeText(store, `${folder}/left.bin`, "x");
    await store.remove(`${folder}/checkpoint.json`);
    await write(store, 1);
    expect(await checkpointProblems(store, folder)).toEqual([]);
  });

  it("says what changed: missing, cut, edited and foreign files", async () => {
    const store = new MemoryStore();
    const { folder } = await write(store, 1);
    await store.remove(`${folder}/config.json`);
    await store.truncate(`${folder}/model.safetensors`, 20);
    const bytes = await store.read(`${folder}/optimizer.safetensors`);
    bytes[10] ^= 1;
    await store.write(`${folder}/optimizer.safetensors`, bytes);
    await writeText(store, `${folder}/more.txt`, "");
    const problems = await checkpointProblems(store, folder);
    expect(problems).toHaveLength(4);
    for (const [i, what] of [
      /config.json: is missing/,
      /model.safetensors: \d+ bytes expected, got 20/,
      /optimizer.safetensors: SHA-256 [0-9a-f]{64} expected, got/,
      /more.txt: is foreign/,
    ].entries()) {
      expect(problems[i]).toMatch(what);
    }
  });

  it("is found as the latest valid one, past incomplete and damaged ones", async () => {
    const store = new MemoryStore();
    expect(await latestCheckpoint(store, parent)).toBeUndefined();
    for (const step of [2, 10, 9, 11]) await write(store, step);
    await writeText(store, `${parent}/notes.txt`, "mine");
    expect((await latestCheckpoint(store, parent))?.step).toBe(11);
    await store.remove(`${parent}/step-000011/checkpoint.json`);
    await store.truncate(`${parent}/step-000010/model.safetensors`, 8);
    const [latest, warnings] = await warningsOf(() => latestCheckpoint(store, parent));
    expect(latest?.step).toBe(9);
    expect(warnings.map(({ code }) => code)).toEqual(["checkpoint-skipped", "checkpoint-skipped"]);
    expect(warnings[0].message).toMatch(/step-000011: is no complete checkpoint, checkpoint.json is missing/);
  });

  it("stands after a crash at every moment of its writing, and none is taken for complete before its end", async () => {
    // The crash: a store that fails at the n-th change, at each n in turn, half-way through the bytes.
    for (let budget = 0, survived = false; !survived; budget++) {
      const store = new MemoryStore();
      await write(store, 1);
      const real = store.write.bind(store);
      let left = budget;
      store.write = async (path, bytes) => {
        if (left-- <= 0) {
          if (path.endsWith(".safetensors")) await real(path, new Uint8Array(3));
          throw new Error("killed");
        }
        await real(path, bytes);
      };
      survived = await write(store, 2).then(
        () => true,
        (error) => {
          expect(error.message).toBe("killed");
          return false;
        },
      );
      const [latest] = await warningsOf(() => latestCheckpoint(store, parent));
      expect(latest?.step).toBe(survived ? 2 : 1);
      if (survived) expect(budget).toBe(4);
    }
  });

  it("refuses a checkpoint.json that lies or is cut short at any byte", async () => {
    const store = new MemoryStore();
    const { folder } = await write(store, 1);
    const path = `${folder}/checkpoint.json`;
    const text = await readText(store, path);
    const open = async (content: string) => {
      await writeText(store, path, content);
      return openCheckpoint(store, folder);
    };
    for (let length = 0; length < text.trimEnd().length; length++) {
      await expect(open(text.slice(0, length)), `cut to ${length}`).rejects.toThrow(FormatError);
    }
    const edited = (edit: (list: Record<string, unknown>) => void) => {
      const list = JSON.parse(text);
      edit(list);
      return open(JSON.stringify(list));
    };
    await expect(edited((list) => (list.step = -1))).rejects.toThrow(/"step" needs a whole number from 0, got -1/);
    await expect(edited((list) => delete list.files)).rejects.toThrow(/"files" needs an object .* got nothing/);
    await expect(edited((list) => (list.files = { a: { size: 1, sha256: "x" } }))).rejects.toThrow(/64 hex digits/);
    await expect(edited((list) => (list.files = { "../../x": { size: 1, sha256: "a".repeat(64) } }))).rejects.toThrow(
      /"files" needs plain names: "..\/..\/x" holds a separator/,
    );
    await expect(edited((list) => (list.format = "other"))).rejects.toThrow(/"tenon-checkpoint" expected, got "other"/);
    await expect(edited((list) => (list.formatVersion = "2.0"))).rejects.toThrow(
      /is tenon-checkpoint 2.0, this version of Tenon reads 1.x/,
    );
    const [, warnings] = await warningsOf(() => edited((list) => (list.formatVersion = "1.7")));
    expect(warnings.map(({ code }) => code)).toEqual(["format-newer"]);
  });

  it("checks the hash of a file that is read", async () => {
    const store = new MemoryStore();
    const checkpoint = await write(store, 1);
    expect(new TextDecoder().decode(await readCheckpointFile(checkpoint, "config.json"))).toMatch(/gpt2/);
    await writeText(store, `${checkpoint.folder}/config.json`, '{"model_type":"gpt3"}');
    await expect(readCheckpointFile(checkpoint, "config.json")).rejects.toThrow(/21 bytes with SHA-256 .* expected/);
    await expect(readCheckpointFile(checkpoint, "none")).rejects.toThrow(/names no such file/);
  });
});

describe("training_state.json", () => {
  const random = new Generator(7);
  random.next("dropout");
  const state = {
    step: 500,
    runId: "abc",
    executionId: "abc-1",
    random: random.getState(),
    source: { epoch: 1, position: 37 },
    optimizer: { step: 500 },
    offsets: { metrics: 1234, timing: 55, samples: 0 },
    loop: { bestLoss: 0.1 + 0.2 },
  };

  it("comes back exactly", () => {
    const read = readTrainingState(writeTrainingState(state), TRAINING_STATE);
    expect(read).toMatchObject(state);
    const again = new Generator(0);
    again.setState(read.random);
    expect(again.next("dropout")).toEqual(random.next("dropout"));
  });

  it("refuses what it cannot be", () => {
    const broken = JSON.parse(writeTrainingState(state));
    broken.offsets.metrics = "1234";
    expect(() => readTrainingState(JSON.stringify(broken), "f.json")).toThrow(
      /f.json: "offsets.metrics" needs a whole number from 0, got "1234"/,
    );
  });
});
