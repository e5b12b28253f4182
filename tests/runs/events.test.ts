import { describe, expect, it } from "vitest";
import { createRun, type Run } from "../../src/runs/events.js";

const tick = () => new Promise((resolve) => setTimeout(resolve, 0));

const counting = (steps: number, pause = 3) =>
  createRun<number, string>(async (emit, signal) => {
    for (let step = 1; step <= steps && !signal.aborted; step++) {
      emit(step);
      if (step % pause === 0) await tick();
    }
    return signal.aborted ? `stopped: ${signal.reason}` : "done";
  });

async function readAll<E>(run: Run<E, unknown>): Promise<E[]> {
  const events: E[] = [];
  for await (const event of run) events.push(event);
  return events;
}

const oneTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

describe("a run", () => {
  it("gives every reader every event, whenever it started to read", async () => {
    const run = counting(10);
    const early = readAll(run);
    await tick();
    const middle = readAll(run);
    expect(await run).toBe("done");
    const late = readAll(run);
    for (const events of [early, middle, late]) expect(await events).toEqual(oneTo(10));
    expect(await run.result).toBe("done");
  });

  it("goes on when a reader leaves, and when nobody reads", async () => {
    const run = counting(20);
    for await (const event of run) if (event === 2) break;
    expect(await run).toBe("done");
    expect(await counting(5)).toBe("done");
  });

  it("stops when asked, with the result so far", async () => {
    const run = counting(1e9);
    const seen = readAll(run);
    await tick();
    expect(run.stopping).toBe(false);
    expect(await run.stop("enough")).toBe("stopped: enough");
    expect(run.stopping).toBe(true);
    expect((await seen).length).toBeGreaterThan(2);
  });

  it("starts after the caller's turn", async () => {
    let started = false;
    const run = createRun(async () => {
      started = true;
    });
    expect(started).toBe(false);
    await run.result;
    expect(started).toBe(true);
  });

  it("throws at its readers and its waiters alike, after the events before", async () => {
    const run = createRun<number, never>(async (emit) => {
      emit(1);
      throw new Error("broken");
    });
    const seen: number[] = [];
    await expect(
      (async () => {
        for await (const event of run) seen.push(event);
      })(),
    ).rejects.toThrow("broken");
    expect(seen).toEqual([1]);
    await expect(run.result).rejects.toThrow("broken");
    await expect(Promise.resolve(run)).rejects.toThrow("broken");
  });

  it("tells the host of a failure that nobody looks at", async () => {
    const before = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection");
    const seen: unknown[] = [];
    process.on("unhandledRejection", (reason) => seen.push((reason as Error).message));
    try {
      createRun(async () => {
        throw new Error("unseen");
      });
      const looked = createRun(async () => {
        throw new Error("seen");
      });
      looked.result.catch(() => undefined);
      await tick();
      await tick();
    } finally {
      process.removeAllListeners("unhandledRejection");
      for (const listener of before) process.on("unhandledRejection", listener);
    }
    expect(seen).toEqual(["unseen"]);
  });

  it("keeps all events for a slow reader, and the last thousand for one that comes late", async () => {
    const run = counting(5000, 100);
    const slow = run[Symbol.asyncIterator]();
    expect((await slow.next()).value).toBe(1);
    await run;
    expect((await slow.next()).value).toBe(2);
    const rest: number[] = [];
    for await (const event of slow) rest.push(event);
    expect(rest).toEqual(oneTo(5000).slice(2));
    const late = await readAll(run);
    expect(late).toEqual(oneTo(5000).slice(4000));
  });
});
