import { capabilities } from "tenon";
import { describe, expect, it } from "vitest";
import { readTrainingState, TRAINING_STATE } from "../../src/artifacts/training-state.js";
import { RunError } from "../../src/core/errors.js";
import { platform, setPlatform } from "../../src/core/platform.js";
import { readText, writeText } from "../../src/core/store.js";
import { setWarningListener } from "../../src/core/warnings.js";
import { loadRun } from "../../src/runs/list.js";
import { MemoryStore } from "../../src/runs/memory-store.js";
import { RunRecorder } from "../../src/runs/recorder.js";
import { startRun } from "../../src/runs/start-run.js";
import { verify } from "../../src/runs/verify.js";
import { sampleManifest } from "./sample.js";

const {
  runId: _r,
  executionId: _e,
  fingerprint: _f,
  configHash: _c,
  finalWeights: _w,
  status: _s,
  ...draft
} = sampleManifest();

/** A loop whose "weights" are one number that each step changes; checkpoints every third step. */
async function work(recorder: RunRecorder, from: number, to: number, value: number): Promise<number> {
  for (let step = from; step <= to; step++) {
    value = (value * 1103515245 + step) % 2147483648;
    recorder.metrics.log({ loss: value }, step);
    if (step % 3 === 0) {
      recorder.metrics.sample(step, `at ${step}`);
      const state = { random: { seed: 1, calls: {} }, source: step, optimizer: null, loop: { value } };
      await recorder.checkpoint(step, { "value.json": JSON.stringify(value) }, state);
    }
  }
  return value;
}

describe("a run that is written", () => {
  it("is resumed after a crash with the bytes of an undisturbed run", async () => {
    const smooth = new MemoryStore();
    const undisturbed = await RunRecorder.start(smooth, draft);
    await work(undisturbed, 1, 10, 7);
    const { executionId: id } = await undisturbed.finish({ status: "done", result: { steps: 10 } });

    const store = new MemoryStore();
    const first = await RunRecorder.start(store, draft);
    expect(first.executionId).toBe(id);
    await work(first, 1, 8, 7);
    await first.metrics.flush();
    // The process is gone; so is its lock.
    const crashed = new MemoryStore();
    await copy(store, crashed, "");
    const { recorder, checkpoint, state } = await RunRecorder.resume(crashed, id);
    expect([checkpoint.step, state.step, state.source]).toEqual([6, 6, 6]);
    await work(recorder, 7, 10, (state.loop as { value: number }).value);
    await recorder.finish({ status: "done", result: { steps: 10 } });
    for (const file of ["config.json", "metrics.jsonl", "samples.jsonl", "timing.jsonl"]) {
      expect(await readText(crashed, `${id}/${file}`), file).toBe(await readText(smooth, `${id}/${file}`));
    }
    expect(recorder.manifest.resumedAt).toEqual([6]);
    expect(recorder.manifest.files).toEqual((await loadRun(id, { store: smooth })).manifest.files);
    expect((await verify(id, { store: crashed })).problems).toEqual([]);
    await expect(RunRecorder.resume(crashed, id)).rejects.toThrow(/is done, there is nothing to resume/);
  });

  it("is written by one process at a time, and the second says so", async () => {
    const store = new MemoryStore();
    const recorder = await RunRecorder.start(store, draft);
    await work(recorder, 1, 3, 7);
    const state = { random: { seed: 1, calls: {} }, source: 3, optimizer: null, loop: {} };
    expect((await recorder.checkpoint(3, {}, state)).files, "asked for again").toHaveProperty("value.json");
    await expect(RunRecorder.resume(store, recorder.executionId)).rejects.toThrow(/run.lock: is locked by/);
    await recorder.finish({ status: "stopped", finalWeights: "f".repeat(64), result: { steps: 3 } });
    const again = await RunRecorder.resume(store, recorder.executionId);
    expect(again.recorder.manifest).toMatchObject({ status: "running", finalWeights: null });
    expect(again.recorder.manifest.result, "an ending that holds no longer").toBeUndefined();
    expect(again.state.step).toBe(3);
    expect(again.recorder.manifest.files).toBeUndefined();
    await again.recorder.finish({ status: "failed" });
  });

  it("leaves nothing behind where it cannot begin", async () => {
    for (const file of ["config.json", "manifest.json", "metrics.jsonl", "run.lock"]) {
      const store = new MemoryStore();
      await expect(RunRecorder.start(fullFor(file, store), draft)).rejects.toThrow(/the disk is full/);
      expect(await store.list("")).toEqual([]);
    }
  });

  it("that cannot be ended stays its writer's until it is, and its lock is given back once", async () => {
    const store = new MemoryStore();
    let full = false;
    const recorder = await RunRecorder.start(
      fullFor("manifest.json", store, () => full),
      draft,
    );
    await work(recorder, 1, 3, 7);
    full = true;
    const ending = { status: "done", finalWeights: "f".repeat(64), result: { steps: 3 } } as const;
    await expect(recorder.finish(ending)).rejects.toThrow(/the disk is full/);
    expect(recorder.manifest, "what was not written").toMatchObject({ status: "running", finalWeights: null });
    await expect(RunRecorder.resume(store, recorder.executionId)).rejects.toThrow(/is locked by/);
    full = false;
    const sealed = await recorder.finish({ status: "failed" });
    expect([sealed.status, sealed.result]).toEqual(["failed", undefined]);
    const { recorder: again } = await RunRecorder.resume(store, recorder.executionId);
    await recorder.release();
    await expect(RunRecorder.resume(store, recorder.executionId)).rejects.toThrow(/is locked by/);
    await again.finish({ status: "failed" });
  });

  it("gives each execution a folder of its own, and a run without a checkpoint cannot be resumed", async () => {
    const store = new MemoryStore();
    const one = await RunRecorder.start(store, draft);
    const two = await RunRecorder.start(store, draft, { userConfig: { data: { text: new File(["x"], "x.txt") } } });
    expect(one.runId).toBe(two.runId);
    expect([one.executionId, two.executionId]).toEqual([`${one.runId}-1`, `${one.runId}-2`]);
    expect(JSON.parse(await readText(store, `${two.folder}/config.json`))).toEqual({
      format: "tenon-config",
      formatVersion: "1.0",
      data: { text: { blob: "x.txt" } },
    });
    await one.finish({ status: "failed" });
    await expect(RunRecorder.resume(store, one.executionId)).rejects.toThrow(/no complete checkpoint to resume from/);
    await expect(RunRecorder.resume(store, one.executionId), "the lock was given back").rejects.toThrow(/no complete/);
  });

  it("goes on from the checkpoint before a damaged one", async () => {
    const store = new MemoryStore();
    const recorder = await RunRecorder.start(store, draft);
    await work(recorder, 1, 9, 7);
    await recorder.finish({ status: "stopped" });
    await writeText(store, `${recorder.folder}/checkpoints/step-000009/value.json`, "0");
    const previous = setWarningListener(undefined);
    const { checkpoint, recorder: again } = await RunRecorder.resume(store, recorder.runId);
    setWarningListener(previous);
    expect(checkpoint.step).toBe(6);
    await work(again, 7, 9, JSON.parse(await readText(store, `${checkpoint.folder}/value.json`)));
    await again.finish({ status: "done" });
    const path = `${recorder.folder}/checkpoints/step-000009/${TRAINING_STATE}`;
    expect(readTrainingState(await readText(store, path), path).step).toBe(9);
    expect((await verify(recorder.runId, { store })).problems).toEqual([]);
  });
});

/** The store, with no room for `file` while `full`. */
const fullFor = (file: string, store: MemoryStore, full = () => true): MemoryStore =>
  new Proxy(store, {
    get: (on, name) => {
      const value = Reflect.get(on, name, on);
      if (typeof value !== "function") return value;
      return async (path: string, ...more: unknown[]) => {
        const writes = ["write", "append", "lock"].includes(String(name));
        if (full() && writes && path.endsWith(file)) throw new RunError(`${path}: the disk is full.`);
        return value.call(on, path, ...more);
      };
    },
  });

async function copy(from: MemoryStore, to: MemoryStore, folder: string): Promise<void> {
  for (const { name, kind } of await from.list(folder)) {
    const path = folder === "" ? name : `${folder}/${name}`;
    if (kind === "folder") await copy(from, to, path);
    else await to.write(path, await from.read(path));
  }
}

describe("startRun", () => {
  const weights = (value: number) => ({ w: { dtype: "F32", shape: [1], data: new Float32Array([value]) } }) as const;

  it("gives a loop of one's own an identity, metrics, checkpoints and a sealed manifest", async () => {
    const store = new MemoryStore();
    const run = await startRun(
      { seed: 3, rate: 0.1 },
      { store, weights: weights(0), data: "1,2\n", codeVersion: "1.0" },
    );
    for (let step = 1; step <= 3; step++) run.log("loss", 1 / step, step);
    run.log({ loss: 0.2, accuracy: 0.9 }, 4);
    run.sample(4, "y = 2x");
    const checkpoint = await run.checkpoint(4, weights(2), { "notes.txt": "mine" });
    const manifest = await run.finish({ weights: weights(2), result: { loss: 0.2 } });
    expect(manifest).toMatchObject({ executionId: run.id, seed: 3, status: "done" });
    const { device, numerics, threads } = capabilities();
    expect(manifest).toMatchObject({ device, numerics, environment: { threads }, asked: { deterministic: "warn" } });
    expect(manifest.provisional).toBeUndefined();
    expect(manifest.finalWeights).toBe(checkpoint.files["model.safetensors"].sha256);
    expect(await verify(run.id, { store })).toMatchObject({ ok: true, problems: [] });
    const again = await startRun(
      { rate: 0.1, seed: 3 },
      { store, weights: weights(0), data: "1,2\n", codeVersion: "1.0" },
    );
    expect(again.id).toBe(`${run.runId}-2`);
    const other = await startRun(
      { rate: 0.1, seed: 3 },
      { store, weights: weights(0), data: "1,3\n", codeVersion: "1.0" },
    );
    expect(other.runId).not.toBe(run.runId);
  });

  it("refuses what could not be read back, and all that comes after its end", async () => {
    const store = new MemoryStore();
    for (const config of [null, [1], "seed"])
      await expect(startRun(config as never, { store })).rejects.toThrow(/startRun: needs a config object, got/);
    const own = JSON.parse('{ "__proto__": 1 }');
    await expect(startRun(own, { store })).rejects.toThrow(/startRun: config: the key "__proto__" is refused/);
    expect(await store.list("")).toEqual([]);
    const run = await startRun({}, { store, codeVersion: "1" });
    expect(() => run.log("__proto__", 1, 1)).toThrow(/needs a value by a name other than/);
    await expect(run.finish({ status: "good" as never })).rejects.toThrow(/done, stopped or failed, got "good"/);
    run.log("loss", 1, 1);
    await run.finish();
    expect(() => run.log("loss", 2, 2)).toThrow(/has ended/);
    expect(() => run.sample(2, "more")).toThrow(/has ended/);
    await expect(run.checkpoint(2, weights(1))).rejects.toThrow(/has ended/);
    await expect(run.finish({ status: "failed" })).rejects.toThrow(/has ended/);
    expect((await verify(run.id, { store })).problems).toEqual([]);
    expect((await loadRun(run.id, { store })).manifest.status).toBe("done");
  });

  it("says that the ID is provisional where nothing names the code", async () => {
    const store = new MemoryStore();
    const host = platform();
    setPlatform({ ...host, codeState: undefined });
    const run = await startRun({}, { store });
    setPlatform(host);
    expect((await run.finish()).provisional).toMatch(/no version/);
    expect((await verify(run.id, { store })).notes.join()).toMatch(/provisional ID/);
  });
});

describe("what could not be read again", () => {
  const store = new MemoryStore();
  const start = (options: object = {}, config: object = {}) =>
    startRun(config as never, { store, codeVersion: "1", ...options });

  it("is refused before anything is written", async () => {
    const cyclic: Record<string, unknown> = {};
    cyclic["self"] = cyclic;
    const cases: [Promise<unknown>, RegExp][] = [
      [start({ codeVersion: "" }), /startRun: needs a text that is not empty for codeVersion, got ""/],
      [start({ device: "" }), /"device" needs a text, got ""/],
      [start({ data: 5 }), /startRun: needs data as a fingerprint, text or bytes, got a number/],
      [start({ weights: 5 }), /startRun: needs weights as tensors by name, got a number/],
      [start({ sinks: [{}] }), /startRun: needs sinks with write\(record\), got an object/],
      [start({}, cyclic), /startRun: config: needs JSON, got what is nested deeper than 1000, or holds itself/],
      [start({}, { d: new Date(1) }), /startRun: config: needs JSON, got a Date/],
      [start({}, { m: new Map() }), /got a Map/],
      [start({}, { f() {} }), /startRun: config: needs JSON, got a function/],
    ];
    for (const [refused, message] of cases) await expect(refused).rejects.toThrow(message);
    expect(await store.list("")).toEqual([]);
  });

  it("a checkpoint of no step, a result that is none", async () => {
    const run = await start();
    for (const step of [1.5, -1, Number.NaN, 1e21, "5"])
      await expect(run.checkpoint(step as number, {})).rejects.toThrow(
        /checkpoint: needs a step that is a whole number from 0/,
      );
    expect(() => run.sample(Number.NaN, "x")).toThrow(/sample: needs a step/);
    expect(() => run.sample(1, 5 as never)).toThrow(/sample: needs a text, got a number/);
    for (const ending of [{ result: [1] }, { result: null }, { wallClock: 5 }, { result: { a: 1n } }])
      await expect(run.finish(ending as never)).rejects.toThrow(/^finish: /);
    // None of them ended it.
    run.log("loss", 1, 1);
    await run.finish({ result: { loss: 1 } });
    expect((await verify(run.id, { store })).problems).toEqual([]);
  });
});

it("a run is finished though an append failed once, halfway, and no record is lost or doubled", async () => {
  const store = new MemoryStore();
  const append = store.append.bind(store);
  let failures = 0;
  const run = await startRun({}, { store, codeVersion: "1" });
  store.append = async (path, bytes) => {
    if (failures-- <= 0) return append(path, bytes);
    await append(path, bytes.subarray(0, bytes.length >> 1));
    throw new Error("no space left");
  };
  run.log("loss", 1, 1);
  failures = 2;
  await expect(run.finish()).rejects.toThrow("no space left");
  await expect(run.finish()).rejects.toThrow("no space left");
  await run.finish();
  expect((await verify(run.id, { store })).problems).toEqual([]);
  expect(await (await loadRun(run.id, { store })).metrics()).toEqual([{ step: 1, values: { loss: 1 } }]);
});
