/** What goes wrong around a run: a full disk, a second process. Nothing is overwritten, and the run goes on afterwards. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { loadRun, MemoryStore, train, verify } from "tenon/runs";
import { afterAll, describe, expect, test } from "vitest";
import { RunError } from "../../src/core/errors.js";
import { FileStore } from "../../src/node/file-store.js";

const config = {
  data: { corpus: "tales", length: 3000 },
  model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
  training: { steps: 12, batchSize: 2, blockSize: 8, evalEvery: 4, checkpointEvery: 2, sampleEvery: 0 },
  device: "cpu",
  threads: 1,
} as const;

/** A store that takes so many bytes, and then says what a full disk says. */
class SmallStore extends MemoryStore {
  room = Number.POSITIVE_INFINITY;

  private take(path: string, bytes: number): void {
    this.room -= bytes;
    if (this.room < 0) throw new RunError(`${this.name}/${path}: the disk is full.`, { where: path, path });
  }
  override async append(path: string, bytes: Uint8Array): Promise<void> {
    this.take(path, bytes.length);
    return super.append(path, bytes);
  }
  override async write(path: string, bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    if (bytes instanceof Uint8Array) {
      this.take(path, bytes.length);
      return super.write(path, bytes);
    }
    const taken = async function* (this: SmallStore) {
      for await (const piece of bytes) {
        this.take(path, piece.length);
        yield piece;
      }
    };
    return super.write(path, taken.call(this));
  }
}

test("a disk that fills up ends the run with that message; what was kept stays, and the run goes on when there is room", async () => {
  const whole = new MemoryStore();
  const undisturbed = await train(config, { store: whole });
  let told = 0;
  for (const room of [0, 900, 3000, 20_000, 40_000, 60_000]) {
    const store = new SmallStore();
    store.room = room;
    const problem = await train(config, { store }).result.catch((error) => error);
    if (!(problem instanceof Error)) continue;
    told++;
    expect(problem).toBeInstanceOf(RunError);
    expect(problem.message, `${room} bytes`).toMatch(/: the disk is full\./);
    store.room = Number.POSITIVE_INFINITY;
    const [entry] = await store.list("");
    const manifest = entry && (await store.size(`${entry.name}/manifest.json`));
    if (!manifest) continue;
    const { name } = entry;
    expect((await verify(name, { store })).problems, `${room} bytes`).toEqual([]);
    if (!(await (await loadRun(name, { store })).latestCheckpoint())) continue;
    const resumed = await train(undefined as never, { store, resume: name });
    expect(resumed.weightsHash).toBe(undisturbed.weightsHash);
    const path = `${name}/metrics.jsonl`;
    expect(await store.read(path)).toEqual(await whole.read(`${undisturbed.executionId}/metrics.jsonl`));
  }
  expect(told).toBeGreaterThan(3);
});

describe("two processes on one run", () => {
  const root = mkdtempSync(join(tmpdir(), "tenon-two-"));
  let child: ChildProcess | undefined;
  afterAll(() => {
    child?.kill("SIGKILL");
    rmSync(root, { recursive: true });
  });

  test("the second says who has it and changes nothing; when the first is dead the run goes on", async () => {
    const store = new FileStore(root);
    const first = train(config, { store });
    for await (const event of first) if (event.type === "step" && event.step === 4) void first.stop();
    const { executionId } = await first;
    const lock = join(root, executionId, "run.lock");
    // Another process that holds the run, as one that trains does.
    const hold = `require("node:fs").writeFileSync(${JSON.stringify(lock)}, JSON.stringify({
      host: ${JSON.stringify(hostname())}, pid: process.pid, start: 0 }));
      console.log("held"); setInterval(() => {}, 1000);`;
    child = spawn(process.execPath, ["-e", hold], { stdio: ["ignore", "pipe", "ignore"] });
    await new Promise((resolve) => child?.stdout?.once("data", resolve));
    const files = () => ["manifest.json", "metrics.jsonl"].map((name) => readFileSync(join(root, executionId, name)));
    const before = files();
    const second = train(undefined as never, { store, resume: executionId });
    await expect(second.result).rejects.toThrow(new RegExp(`run\\.lock: is locked by process ${child.pid}\\.`));
    expect(files()).toEqual(before);

    const ended = new Promise((resolve) => child?.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    const resumed = await train(undefined as never, { store, resume: executionId });
    expect(resumed.steps).toBe(12);
  });
});
