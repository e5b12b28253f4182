import { describe, expect, it, vi } from "vitest";
import { readText, writeText } from "../../src/core/store.js";
import { setWarningListener, type Warning } from "../../src/core/warnings.js";
import "../../src/node/platform.js";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryStore } from "../../src/runs/memory-store.js";
import { MetricsLog } from "../../src/runs/metrics.js";
import { checkSinks, consoleSink, csvSink, jsonlSink, type Sink, SinkGroup } from "../../src/runs/sinks.js";
import { crc32c, tensorboardSink, tfRecord } from "../../src/runs/tensorboard.js";

async function logged(...sinks: Sink[]): Promise<void> {
  const log = await MetricsLog.open(new MemoryStore(), "r", { sinks });
  log.log({ loss: 2.5, "a,b": Number.NaN }, 1);
  log.timing(1, { seconds: 1 });
  log.log("loss", 1 / 3, 2);
  log.sample(2, "once upon");
  await log.close();
}

describe("sinks", () => {
  it("write the same records, several at once", async () => {
    const store = new MemoryStore();
    const lines: string[] = [];
    await logged(
      consoleSink((line) => lines.push(line)),
      jsonlSink({ store, path: "out/all.jsonl" }),
      csvSink({ store, path: "out/all.csv" }),
    );
    expect(lines).toEqual(["step 1  loss 2.5  a,b NaN", "step 2  loss 0.33333", "step 2  once upon"]);
    expect(await readText(store, "out/all.csv")).toBe(
      'step,name,value\n1,loss,2.5\n1,"a,b",NaN\n2,loss,0.3333333333333333\n',
    );
    expect((await readText(store, "out/all.jsonl")).split("\n").slice(1)).toEqual([
      '{"kind":"metrics","step":1,"loss":2.5,"a,b":"NaN"}',
      '{"kind":"timing","step":1,"seconds":1}',
      '{"kind":"metrics","step":2,"loss":0.3333333333333333}',
      '{"kind":"sample","step":2,"text":"once upon"}',
      "",
    ]);
  });

  it("take a path of the file system", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tenon-sinks-"));
    try {
      await logged(csvSink(join(folder, "deep/x.csv")), tensorboardSink(join(folder, "tb")));
      expect(readFileSync(join(folder, "deep/x.csv"), "utf8")).toMatch(/^step,name,value\n1,loss,2.5\n/);
      expect(readFileSync(join(folder, "tb/events.out.tfevents.0000000000.tenon.0")).length).toBeGreaterThan(100);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("stop nothing when they throw, at once or later, and are reported once each", async () => {
    const warnings: Warning[] = [];
    const previous = setWarningListener((warning) => warnings.push(warning));
    const got: number[] = [];
    const good: Sink = { name: "good", write: ({ step }) => void got.push(step) };
    const thrower: Sink = {
      name: "thrower",
      write() {
        throw new Error("no room");
      },
    };
    const rejecter: Sink = { name: "rejecter", write: async () => Promise.reject(new Error("offline")) };
    try {
      await logged(thrower, rejecter, good);
    } finally {
      setWarningListener(previous);
    }
    expect(got).toEqual([1, 1, 2, 2]);
    expect(warnings.map(({ code, message }) => [code, message])).toEqual([
      ["sink-failed", "thrower: threw, the run goes on: no room"],
      ["sink-failed", "rejecter: threw, the run goes on: offline"],
    ]);
  });

  it("get their records one after the other, however slow they are", async () => {
    const order: string[] = [];
    const slow: Sink = {
      name: "slow",
      async write({ kind, step }) {
        order.push(`${kind} ${step} begins`);
        await new Promise((resolve) => setTimeout(resolve, 2));
        order.push(`${kind} ${step} ends`);
      },
    };
    await logged(slow);
    expect(order).toHaveLength(8);
    for (let i = 0; i < order.length; i += 2) expect(order[i + 1]).toBe(order[i].replace("begins", "ends"));
  });
});

describe("TensorBoard event files", () => {
  const ascii = (text: string) => new TextEncoder().encode(text);

  it("use CRC-32C: the vectors of RFC 3720", () => {
    expect(crc32c(new Uint8Array(32)).toString(16)).toBe("8a9136aa");
    expect(crc32c(new Uint8Array(32).fill(0xff)).toString(16)).toBe("62a8ab43");
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)).toString(16)).toBe("46dd794e");
    expect(crc32c(ascii("123456789")).toString(16)).toBe("e3069283");
  });

  it("frame records as TensorFlow does: the first bytes of every event file it writes", () => {
    // A record of 24 bytes, the version event, starts 18 00 … with the masked checksum a3 7f 4b 22.
    expect(Buffer.from(tfRecord(new Uint8Array(24)).subarray(0, 12)).toString("hex")).toBe("1800000000000000a37f4b22");
  });

  it("hold version, scalars and texts, as a reader of the format finds them", async () => {
    const store = new MemoryStore();
    await logged(tensorboardSink({ store, path: "tb" }, { clock: () => 1700000000.25 }));
    const [{ name }] = await store.list("tb");
    expect(name).toBe("events.out.tfevents.1700000000.tenon.0");
    const events = readEvents(await store.read(`tb/${name}`));
    expect(events[0]).toEqual({ wallTime: 1700000000.25, step: 0, version: "brain.Event:2", values: [] });
    expect(events.slice(1).map(({ step, values }) => [step, values])).toEqual([
      [
        1,
        [
          ["loss", 2.5],
          ["a,b", Number.NaN],
        ],
      ],
      [1, [["seconds", 1]]],
      [2, [["loss", Math.fround(1 / 3)]]],
      [2, [["sample", "text:once upon"]]],
    ]);
    await logged(tensorboardSink({ store, path: "tb" }, { clock: () => 1700000000.25 }));
    expect((await store.list("tb")).map((entry) => entry.name.slice(-1))).toEqual(["0", "1"]);
  });
});

/** A reader of its own, from the field numbers of event.proto and summary.proto; it shares no code with the writer. */
function readEvents(file: Uint8Array) {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const unmask = (masked: number) => {
    const rotated = (masked - 0xa282ead8) >>> 0;
    return ((rotated >>> 17) | (rotated << 15)) >>> 0;
  };
  const events: { wallTime: number; step: number; version?: string; values: [string, number | string][] }[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(view.getBigUint64(at, true));
    expect(unmask(view.getUint32(at + 8, true))).toBe(crc32c(file.subarray(at, at + 8)));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(unmask(view.getUint32(at + 12 + length, true))).toBe(crc32c(data));
    at += 16 + length;
    const fields = readMessage(data);
    const one = (number: number) => fields.find((field) => field.number === number)?.value;
    const values = ((one(5) && readMessage(one(5) as Uint8Array)) || []).map(({ value }): [string, number | string] => {
      const inner = readMessage(value as Uint8Array);
      const get = (number: number) => inner.find((field) => field.number === number)?.value;
      const tag = text(get(1));
      if (get(2) !== undefined) return [tag, get(2) as number];
      const tensor = readMessage(get(8) as Uint8Array);
      const plugin = readMessage(readMessage(get(9) as Uint8Array)[0].value as Uint8Array)[0].value;
      expect(tensor.find(({ number }) => number === 1)?.value).toBe(7);
      return [tag, `${text(plugin)}:${text(tensor.find(({ number }) => number === 8)?.value)}`];
    });
    const version = one(3);
    events.push({
      wallTime: one(1) as number,
      step: one(2) as number,
      ...(version ? { version: text(version) } : {}),
      values,
    });
  }
  return events;
}

const text = (bytes: unknown) => new TextDecoder().decode(bytes as Uint8Array);

function readMessage(bytes: Uint8Array): { number: number; value: number | Uint8Array }[] {
  const fields: { number: number; value: number | Uint8Array }[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    const wire = key % 8;
    if (wire === 0) fields.push({ number, value: varint() });
    else if (wire === 1) fields.push({ number, value: view.getFloat64((at += 8) - 8, true) });
    else if (wire === 5) fields.push({ number, value: view.getFloat32((at += 4) - 4, true) });
    else if (wire === 2) {
      const length = varint();
      fields.push({ number, value: bytes.subarray(at, (at += length)) });
    } else throw new Error(`wire type ${wire}`);
  }
  return fields;
}

describe("a sink's trouble", () => {
  it("a file that holds something else is left as it is", async () => {
    const store = new MemoryStore();
    const said: string[] = [];
    const onSinkError = (_: Sink, error: unknown) => void said.push((error as Error).message);
    const add = async (content: string, sink: Sink) => {
      await writeText(store, "notes", content);
      const log = await MetricsLog.open(store, "r", { sinks: [sink], onSinkError });
      log.log("loss", 1, 1);
      await log.close();
      return readText(store, "notes");
    };
    const lines = () => jsonlSink({ store, path: "notes" });
    const table = () => csvSink({ store, path: "notes" });
    const contents = [
      "my only notes, without a newline",
      '{"format":"other"}\n{"a":1}\nhalf',
      "no\nnewline at the end",
      "step,name\n1,2\n",
    ];
    for (const content of contents) {
      for (const [sink, what] of [
        [lines(), "a file of tenon-metrics"] as const,
        [table(), "a table step,name,value"] as const,
      ]) {
        expect(await add(content, sink)).toBe(content);
        expect(said.pop()).toContain(`notes: ${what} to add to expected, got another, which is left as it is. `);
      }
    }
    // What a kill left of a line is our own.
    expect(await add('{"format":"tenon-me', lines())).toMatch(/^\{"format":"tenon-metrics",.*\}\n\{"kind":"metrics"/);
    for (const left of ["", "step,na", "step,name,value", "step,name,value\n", "step,name,value\n1,lo"])
      expect(await add(left, table())).toBe("step,name,value\n1,loss,1\n");
    expect(await add("step,name,value\n0,loss,2\n1,loss", table())).toBe("step,name,value\n0,loss,2\n1,loss,1\n");
    expect(said).toEqual([]);
  });

  it("a file keeps what a full disk refused, writes it when there is room, and once", async () => {
    /** Its disk is full now and then: half of what is to be added is there, and a list cannot be made. */
    class FullStore extends MemoryStore {
      full = true;
      override async append(path: string, bytes: Uint8Array): Promise<void> {
        await super.append(path, this.full ? bytes.subarray(0, bytes.length >> 1) : bytes);
        if (this.full) throw new Error("no space left");
      }
      override async list(path: string) {
        if (this.full) throw new Error("no space left");
        return super.list(path);
      }
    }
    const make = (store: MemoryStore) => [
      jsonlSink({ store, path: "x.jsonl" }),
      csvSink({ store, path: "x.csv" }),
      tensorboardSink({ store, path: "tb" }),
    ];
    const [calm, full] = [new MemoryStore(), new FullStore()];
    for (const store of [calm, full]) {
      const said: string[] = [];
      const group = new SinkGroup(make(store), (sink, error) => void said.push(`${sink.name}: ${error}`));
      for (let step = 1; step <= 4; step++) {
        group.write({ kind: "metrics", step, values: { loss: step / 2 } });
        if (store === full) full.full = step % 2 === 1;
        await group.flush();
      }
      await group.close();
      expect(said.length).toBe(store === full ? 3 : 0);
    }
    for (const path of ["x.jsonl", "x.csv", "tb/events.out.tfevents.0000000000.tenon.0"])
      expect(await full.read(path), path).toEqual(await calm.read(path));
  });

  it("a file that cannot be written is tried ever more rarely, and keeps no more than 64 MiB", async () => {
    let tries = 0;
    let room = false;
    class NoStore extends MemoryStore {
      override async append(path: string, bytes: Uint8Array): Promise<void> {
        tries++;
        if (!room) throw new Error("no space left");
        await super.append(path, bytes);
      }
    }
    const store = new NoStore();
    const sink = jsonlSink({ store, path: "x" });
    const text = "x".repeat(2 ** 16);
    for (let step = 0; step < 1100; step++) {
      await Promise.resolve(sink.write({ kind: "sample", step, text })).catch(() => undefined);
    }
    expect(tries).toBe(10); // of 1, 2, 4, … 512 records
    room = true;
    await sink.flush?.();
    expect(Math.floor((await store.size("x"))! / 2 ** 20)).toBe(64);
  });

  it("one that never answers is given up, a slow one is not", async () => {
    vi.useFakeTimers();
    try {
      const told: string[] = [];
      let slow = 0;
      let stuck = 0;
      const group = new SinkGroup(
        [
          { name: "stuck", write: () => new Promise(() => void stuck++) },
          { name: "slow", write: () => new Promise((resolve) => setTimeout(() => resolve(void slow++), 6000)) },
        ],
        (sink, error) => told.push(`${sink.name} ${(error as Error).message}`),
      );
      for (let step = 1; step <= 4; step++) group.write({ kind: "metrics", step, values: { loss: 1 } });
      const flushed = group.flush();
      await vi.advanceTimersByTimeAsync(60_000);
      await flushed;
      expect([slow, stuck]).toEqual([4, 1]);
      expect(told).toEqual(["stuck stuck: said nothing for 10 s and is given no more records."]);
      group.write({ kind: "metrics", step: 5, values: { loss: 1 } });
      const closed = group.close();
      await vi.advanceTimersByTimeAsync(20_000);
      await closed;
      expect([slow, stuck]).toEqual([5, 1]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("one may throw anything", async () => {
    const warnings: Warning[] = [];
    const previous = setWarningListener((warning) => warnings.push(warning));
    try {
      for (const thrown of [Object.create(null), { retry() {} }, Symbol("s"), undefined]) {
        const write = () => {
          throw thrown;
        };
        await logged({ name: "thrower", write });
      }
      expect(warnings.map(({ code }) => code)).toEqual(Array(4).fill("sink-failed"));
    } finally {
      setWarningListener(previous);
    }
  });

  it("what is none is refused where it is given", () => {
    for (const [sinks, got] of [
      [5, "needs sinks as a list, got 5"],
      [{}, "needs sinks as a list, got an object"],
      [[null], "needs sinks with write(record), got null"],
      [[{}], "needs sinks with write(record), got an object"],
    ] as const)
      expect(() => checkSinks("train", sinks)).toThrow(got);
  });
});
