import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { fromCsv, fromIdx, fromJson, fromJsonl, fromRows, fromText, readIdx } from "tenon/data";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { platform } from "../../src/core/platform.js";
import { describeWithData, inPieces } from "./shared.js";

const rows = [
  { a: 1, b: "x" },
  { a: 2, b: "y" },
];

describe("every kind of source gives the same rows", () => {
  const csv = "a,b\n1,x\n2,y\n";
  const bytes = new TextEncoder().encode(csv);
  const stream = () => new Blob([bytes]).stream();
  const kinds: [string, () => Parameters<typeof fromCsv>[0]][] = [
    ["text with line breaks", () => csv],
    ["{ text }", () => ({ text: csv })],
    ["bytes", () => bytes],
    ["ArrayBuffer", () => bytes.slice().buffer],
    ["Blob", () => new Blob([bytes])],
    ["File", () => new File([bytes], "x.csv")],
    ["ReadableStream", stream],
    [
      "async iterable of texts",
      async function* () {
        yield "a,b\n1,";
        yield "x\n2,y\n";
      } as never,
    ],
    ["data: URL", () => `data:text/csv,${encodeURIComponent(csv)}`],
  ];
  test.each(kinds)("%s", async (name, make) => {
    const source = name.startsWith("async") ? (make as unknown as () => AsyncIterable<string>)() : make();
    expect(await fromCsv(source).toArray()).toEqual(rows);
  });
});

test.skipIf(!existsSync("/proc/self/fd"))(
  "a pass that is dropped in the middle frees its file, without a word of Node",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "tenon-dropped-"));
    const path = join(folder, "x.csv");
    writeFileSync(path, `a,b\n${"1,2\n".repeat(200_000)}`);
    const warnings: string[] = [];
    const listen = (warning: Error) => warnings.push(warning.message);
    process.on("warning", listen);
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc") as () => void;
    const isOpen = () => readdirSync("/proc/self/fd").some((fd) => linkOf(fd) === path);
    await (async () =>
      void (await fromCsv(path, { schema: { fields: { a: "int32", b: "int32" } } })
        .batch(4)
        .next()))();
    expect(isOpen()).toBe(true);
    for (let i = 0; i < 50 && isOpen(); i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(isOpen()).toBe(false);
    process.off("warning", listen);
    expect(warnings).toEqual([]);
    rmSync(folder, { recursive: true });
  },
);

const linkOf = (fd: string): string | undefined => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined; // closed since
  }
};

describe("JSON lines", () => {
  const text = '{"a":1,"b":"x"}\n\n{"b":"y","a":2}\r\n';
  test("rows, with any pieces and line ends", async () => {
    for (const size of [1, 5, 1000]) expect(await fromJsonl(inPieces(text, size)).toArray()).toEqual(rows);
  });
  test("a broken line is named, skipped or counted", async () => {
    const broken = '{"a":1}\n{"a":\n[1]\n{"a":"x"}\n{"a":4}';
    const name = "t.jsonl";
    const schema = { fields: { a: "int32" as const } };
    await expect(fromJsonl({ text: broken, name }, { schema }).toArray()).rejects.toThrow(
      't.jsonl: row 2 (line 2): expected one JSON object per line, got "{\\"a\\":".',
    );
    const data = fromJsonl({ text: broken, name }, { schema, onViolation: "skip" });
    expect(await data.toArray()).toEqual([{ a: 1 }, { a: 4 }]);
    expect(data.report).toMatchObject({ rows: 5, skippedRows: 3, brokenRows: 2 });
    expect(data.report!.violations.map(({ line }) => line)).toEqual([2, 3, 4]);
  });
  test("missing keys are missing values; undeclared keys are violations", async () => {
    expect(await fromJsonl({ text: '{"a":1}\n{"b":"x"}' }).toArray()).toEqual([
      { a: 1, b: null },
      { a: null, b: "x" },
    ]);
    const schema = { fields: { a: { type: "int32" as const } } };
    await expect(fromJsonl({ text: '{"a":1,"c":2}' }, { schema }).toArray()).rejects.toThrow(
      'column "c": expected one of the columns a, got 2',
    );
  });
  test("lists are typed: tokens, floats, texts", async () => {
    const data = await fromJsonl(
      { text: '{"ids":[1,2],"x":[0.5],"s":["a"]}' },
      {
        schema: {
          fields: { ids: "tokens", x: { type: "list", items: "float32" }, s: { type: "list", items: "string" } },
        },
      },
    );
    expect(await data.toArray()).toEqual([{ ids: [1, 2], x: [0.5], s: ["a"] }]);
    for (const bad of ['{"ids":[-1]}', '{"ids":[1.5]}', '{"ids":"12"}', '{"ids":[4294967296]}']) {
      await expect(fromJsonl({ text: bad }, { schema: { fields: { ids: "tokens" } } }).toArray()).rejects.toThrow(
        "expected a list of token ids",
      );
    }
  });
  test("columns may have the names of what every object has", async () => {
    const text = '{"constructor":"Ferrari","toString":1}\n{"toString":2}\n{"constructor":"McLaren"}\n';
    const expected = [
      { constructor: "Ferrari", toString: 1 },
      { constructor: null, toString: 2 },
      { constructor: "McLaren", toString: null },
    ];
    const data = await fromJsonl({ text });
    expect(data.schema.fields.map(({ type }) => type)).toEqual(["string", "int32"]);
    expect(await data.toArray()).toEqual(expected);
    const nullable = [{ name: "constructor", type: "string" as const, nullable: true }];
    const schema = { fields: [...nullable, { name: "toString", type: "int32" as const, nullable: true }] };
    expect(await fromJsonl({ text }, { schema }).toArray()).toEqual(expected);
  });
  test("a prototype cannot be smuggled in", async () => {
    await expect(
      fromJsonl({ text: '{"__proto__":{"a":1}}' }, { schema: { fields: { a: "json" } } }).toArray(),
    ).rejects.toThrow();
  });
  test("a later row that breaks the inferred schema is an error that says so", async () => {
    const text = `${'{"a":1}\n'.repeat(1500)}{"a":"text"}\n`;
    await expect(fromJsonl({ text }).toArray()).rejects.toThrow("The schema was inferred from the first rows");
  });
});

describe("JSON", () => {
  test("a list, a list within, an object of columns", async () => {
    expect(await fromJson('[{"a":1,"b":"x"},{"a":2,"b":"y"}]').toArray()).toEqual(rows);
    expect(
      await fromJson({ text: '{"d":{"items":[{"a":1,"b":"x"},{"a":2,"b":"y"}]}}' }, { path: "d.items" }).toArray(),
    ).toEqual(rows);
    expect(await fromJson({ text: '{"a":[1,2],"b":["x","y"]}' }).toArray()).toEqual(rows);
  });
  test("broken documents", async () => {
    await expect(fromJson({ text: "[1,", name: "x.json" }).toArray()).rejects.toThrow("x.json: is not valid JSON");
    await expect(fromJson({ text: '"hello"' }).toArray()).rejects.toThrow("needs a list of objects");
    await expect(fromJson({ text: "{}" }, { path: "a" }).toArray()).rejects.toThrow('nothing at "a"');
    await expect(fromJson({ text: "[1, 2]" }).toArray()).rejects.toThrow("expected an object, got 1");
    await expect(fromJson({ text: "[".repeat(100) }).toArray()).rejects.toThrow("nested deeper than 64");
  });
});

describe("text", () => {
  test("by line, by document, whole, in pieces of any size", async () => {
    const text = "one\r\ntwo\n\nthree<|endoftext|>\nfour\n<|endoftext|>five";
    const read = async (options: Parameters<typeof fromText>[1], size: number) =>
      (await fromText(inPieces(text, size), options).toArray()).map((row) => row["text"]);
    for (const size of [1, 4, 1000]) {
      expect(await read({}, size)).toEqual(["one", "two", "three<|endoftext|>", "four", "<|endoftext|>five"]);
      expect(await read({ keepEmpty: true }, size)).toContain("");
      expect(await read({ by: "document" }, size)).toEqual(["one\r\ntwo\n\nthree", "four", "five"]);
      expect(await read({ by: "whole" }, size)).toEqual([text]);
    }
  });
  test("a character that two texts of a stream share is one", async () => {
    async function* halves() {
      for (const piece of ["a \ud83d", "\ude00 b\ud83d", "", "\ude01\n"]) yield piece;
    }
    expect(await fromText(halves()).toArray()).toEqual([{ text: "a \u{1f600} b\u{1f601}" }]);
  });
  test("options are checked", async () => {
    expect(() => fromText({ text: "x" }, { by: "word" as never })).toThrow(
      'by needs line, document or whole, got "word"',
    );
    await expect(fromText({ text: "x".repeat(100) }, { maxRowLength: 10 }).toArray()).rejects.toThrow(
      "line 1 is longer than 10 characters",
    );
    await expect(fromText({ text: "x".repeat(1e5) }, { by: "document", maxRowLength: 1e4 }).toArray()).rejects.toThrow(
      "longer than 10000 characters",
    );
  });
});

describe("idx", () => {
  const idx = (type: number, shape: number[], data: number[]) =>
    Uint8Array.from([0, 0, type, shape.length, ...shape.flatMap((n) => [0, 0, 0, n]), ...data]);
  test("all types", () => {
    expect(readIdx(idx(8, [2, 2], [1, 2, 3, 255]))).toEqual({ shape: [2, 2], data: Uint8Array.of(1, 2, 3, 255) });
    expect(readIdx(idx(9, [1], [255])).data).toEqual(Int8Array.of(-1));
    expect(readIdx(idx(11, [1], [1, 2])).data).toEqual(Int16Array.of(258));
    expect(readIdx(idx(13, [1], [0x3f, 0x80, 0, 0])).data).toEqual(Float32Array.of(1));
  });
  test("broken files are named with the offset", () => {
    expect(() => readIdx(Uint8Array.of(0, 0, 8))).toThrow(
      "idx: is not a valid idx file: needs a header of at least 4 bytes, got 3 at offset 0.",
    );
    expect(() => readIdx(idx(7, [1], [0]))).toThrow("needs a type of 8, 9, 11, 12, 13 or 14, got 7 at offset 2");
    expect(() => readIdx(idx(8, [3], [1, 2]))).toThrow("shape [3] needs 3 bytes, got 2");
    expect(() => readIdx(idx(8, [1], [1, 2]))).toThrow("shape [1] needs 1 bytes, got 2");
    // The header alone could claim four thousand million such rows.
    expect(() => readIdx(idx(8, [255, 0], []))).toThrow("shape [255, 0] has items of size 0 at offset 8");
    expect(readIdx(idx(8, [0, 2], [])).shape).toEqual([0, 2]);
    expect(() => readIdx(Uint8Array.of(1, 0, 8, 1, 0, 0, 0, 0))).toThrow("needs two zero bytes");
    expect(() => readIdx(Uint8Array.of(0, 0, 8, 255, 255, 255, 255, 255))).toThrow("needs 255 sizes");
  });
  test("images and labels must agree in number", async () => {
    const images = idx(8, [2, 1, 2], [1, 2, 3, 4]);
    const data = await fromIdx(images, { labels: idx(8, [2], [7, 9]) });
    expect(data.schema.fields[0]).toMatchObject({ name: "image", type: "image", shape: [1, 2] });
    expect(await data.toArray()).toEqual([
      { image: Uint8Array.of(1, 2), label: 7 },
      { image: Uint8Array.of(3, 4), label: 9 },
    ]);
    await expect(fromIdx(images, { labels: idx(8, [1], [7]) }).toArray()).rejects.toThrow(
      "needs 2 labels, one per item, got 1",
    );
  });
});

describe("rows in memory", () => {
  test("are checked against a schema, once", async () => {
    const schema = { fields: { a: { type: "int32" as const, max: 1 }, b: "string" as const } };
    await expect(fromRows(rows, { schema }).toArray()).rejects.toThrow(
      'rows: row 2, column "a": expected an int32 of at most 1, got 2.',
    );
    const data = fromRows(rows, { schema, onViolation: "null" });
    expect(await data.toArray()).toEqual([
      { a: 1, b: "x" },
      { a: null, b: "y" },
    ]);
    expect(data.report).toMatchObject({ rows: 2, nulledValues: 1 });
  });
  test("a column that comes first in a later row is told, not dropped", async () => {
    const late = [...Array.from({ length: 1000 }, (_, i) => ({ a: i })), { a: 1, b: 2 }];
    await expect(fromRows(late).toArray()).rejects.toThrow('rows: row 1001, column "b": expected one of the columns a');
    expect((await fromRows(late, { extraColumns: "drop" }).toArray()).at(-1)).toEqual({ a: 1 });
  });
  test("their schema is inferred", () => {
    const data = fromRows([{ i: 1, f: 0.5, s: "long enough text", l: [1.5], t: true, n: null, d: new Date(0) }]);
    expect(Object.fromEntries(data.schema.fields.map(({ name, type }) => [name, type]))).toEqual({
      i: "int32",
      f: "float32",
      s: "string",
      l: "list",
      t: "bool",
      n: "json",
      d: "json",
    });
  });
});

describe("rows of a function", () => {
  const list = Array.from({ length: 1500 }, (_, i) => ({ i, s: `text ${i}` }));
  function* generate() {
    yield* list;
  }
  async function* slowly() {
    yield* list;
  }
  test("come anew in every pass, with the schema, the content and the checks of those in memory", async () => {
    const memory = fromRows(list);
    for (const give of [generate, slowly, () => list, async () => list, () => new Set(list)]) {
      const data = await fromRows(give);
      expect(data.schema).toEqual(memory.schema);
      expect(await data.toArray()).toEqual(list);
      expect(await data.toArray()).toEqual(list);
      expect((await data.provenance()).sources[0].contentHash).toBe((await memory.provenance()).sources[0].contentHash);
      // A shuffle of theirs goes through a buffer: other data to a run.
      expect(await data.fingerprint()).not.toBe(await memory.fingerprint());
    }
    const late = fromRows(() => [...list, { i: "x", s: "" }]);
    await expect(late.toArray()).rejects.toThrow('rows: row 1501, column "i": expected an int32, got "x".');
  });
  test("a pass that is left ends the generator, and a sample draws no more than it needs", async () => {
    let [drawn, ended] = [0, 0];
    const data = fromRows(function* () {
      try {
        for (;;) yield { i: drawn++ };
      } finally {
        ended++;
      }
    });
    await data;
    expect([drawn, ended]).toEqual([1000, 1]);
    for await (const { i } of data.take(2000)) if (i === 1500) break;
    expect([drawn <= 1501 + 256, ended]).toEqual([true, 2]);
  });
  test("one that failed while the schema was inferred is asked again", async () => {
    const failing = vi.fn(() => rows).mockRejectedValueOnce(new Error("no network") as never);
    const data = fromRows(failing);
    await expect(Promise.all([data.toArray(), data])).rejects.toThrow("no network");
    expect((await data).schema.fields.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(await data.toArray()).toEqual(rows);
    // Once in vain, once for the schema, once for the rows.
    expect(failing).toHaveBeenCalledTimes(3);
  });
  test("what can be passed over only once is refused, before rows are missed", async () => {
    expect(() => fromRows(generate() as never)).toThrow(
      "fromRows: needs an array of rows, or a function that gives them, got a generator. What can be passed over only " +
        "once goes into a function: fromRows(() => generate()), or fromRows([...rows]).",
    );
    expect(() => fromRows(new Set(list) as never)).toThrow("got a Set.");
    const one = generate();
    const data = fromRows(() => one, { schema: { fields: { i: "int32", s: "string" } } });
    expect((await data.toArray()).length).toBe(1500);
    await expect(data.toArray()).rejects.toThrow(
      "rows: the function needs to give all rows anew each time, got a generator that was passed over before. Pass a",
    );
    for (const [give, got] of [
      [() => undefined, "undefined"],
      [() => null, "null"],
      [() => "text", '"text"'],
      [() => ({ a: 1 }), "an object"],
    ] as const) {
      await expect(fromRows(give as never).toArray()).rejects.toThrow(`give all rows anew each time, got ${got}.`);
    }
  });
});

describe("schemas", () => {
  const bad: [unknown, string][] = [
    [{ fields: { a: "flaot32" } }, 'field "a" needs a known type, got "flaot32". Did you mean "float32"?'],
    [
      { fields: { a: { type: "int32", nulable: true } } },
      'field "a" has an unknown key "nulable". Did you mean "nullable"?',
    ],
    [{ fields: { a: { type: "int32", min: 3, max: 1 } } }, "needs min <= max, got 3 and 1"],
    [
      {
        fields: [
          { name: "a", type: "int32" },
          { name: "a", type: "bool" },
        ],
      },
      'the field "a" is declared twice',
    ],
    [{ feilds: {} }, 'needs an object with "fields"'],
    [{ fields: {}, splits: {} }, 'unknown key "splits". Did you mean "split"?'],
    [{ fields: { a: { type: "image" } } }, 'an image needs a "shape"'],
    [{ fields: { a: { type: "int32", values: ["x"] } } }, '"values" needs a list of strings, on a category'],
  ];
  test.each(bad)("%j", (schema, message) => {
    expect(() => fromRows([], { schema: schema as never })).toThrow(message);
  });
});

test("files, blobs and streams stop at a signal, too", async () => {
  const blob = new Blob(["a line\n".repeat(1 << 18)]);
  for (const source of [blob, blob.stream()]) {
    const stop = new AbortController();
    const read = async () => {
      for await (const row of fromText(source, { signal: stop.signal })) if (row) stop.abort();
    };
    await expect(read()).rejects.toThrow("reading was stopped");
  }
});

test("file: addresses of Windows are its paths", async () => {
  const opened: string[] = [];
  const host = platform();
  const open = vi.spyOn(host, "openFile").mockImplementation(async (path) => {
    opened.push(path);
    throw new Error("not here");
  });
  for (const url of ["file:///C:/my%20data/x.csv", "file:///home/c:/x.csv"]) {
    await fromCsv(new URL(url))
      .toArray()
      .catch(() => {});
    await fromCsv(url)
      .toArray()
      .catch(() => {});
  }
  open.mockRestore();
  expect([...new Set(opened)]).toEqual(["C:/my data/x.csv", "/home/c:/x.csv"]);
});

describe("HTTP", () => {
  const server = createServer((request, response) => {
    if (request.url === "/ok.csv") response.end("a,b\n1,x\n2,y\n");
    else if (request.url === "/cut.csv") {
      response.writeHead(200, { "Content-Length": 1000 });
      response.write("a,b\n1,x\n", () => response.destroy());
    } else if (request.url !== "/silent.csv") response.writeHead(503).end();
  });
  let origin = "";
  beforeAll(async () => {
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  test("a server that says nothing is given up", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const reading = expect(fromCsv(`${origin}/silent.csv`).toArray()).rejects.toThrow(
        "/silent.csv: the server sent nothing for 60 seconds.",
      );
      await vi.advanceTimersByTimeAsync(60_000);
      await reading;
    } finally {
      vi.useRealTimers();
    }
  });
  test("reading stops at a signal", async () => {
    const stop = new AbortController();
    const reading = expect(fromCsv(`${origin}/silent.csv`, { signal: stop.signal }).toArray()).rejects.toThrow(
      "cannot be fetched",
    );
    stop.abort();
    await reading;
  });
  test("rows, errors, a cut in the middle", async () => {
    expect(await fromCsv(`${origin}/ok.csv`).toArray()).toEqual(rows);
    expect(await fromCsv(new URL(`${origin}/ok.csv`)).toArray()).toEqual(rows);
    await expect(fromCsv(`${origin}/no.csv`).toArray()).rejects.toThrow("/no.csv: the server answered HTTP 503");
    await expect(fromCsv(`${origin}/cut.csv`).toArray()).rejects.toThrow(
      "/cut.csv: the connection was cut after 8 bytes of 1000",
    );
  });
});

describeWithData("public data", "tabular", (folder) => {
  test("MNIST: 10,000 digits, split 8,000 to 2,000", async () => {
    const mnist = join(folder, "mnist");
    const data = await fromIdx(join(mnist, "t10k-images-idx3-ubyte.gz"), {
      labels: join(mnist, "t10k-labels-idx1-ubyte.gz"),
    });
    expect(await data.count()).toBe(10000);
    const { train, val } = data.split({ train: 0.8, val: 0.2 }, { seed: 1 });
    expect([await train.count(), await val.count()]).toEqual([8000, 2000]);
    const [first] = await data.take(1).toArray();
    expect((first["image"] as Uint8Array).length).toBe(784);
    expect(first["label"]).toBe(7);
  });
  test("instruction data", async () => {
    const file = join(folder, "../text/instruction-data/instruction-data.json");
    const expected = JSON.parse(readFileSync(file, "utf8"));
    expect(await fromJson(file).toArray()).toEqual(expected);
  });
});
