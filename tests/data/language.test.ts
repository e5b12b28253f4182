import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  collectTokens,
  encodeInstructions,
  encodeTexts,
  fromJson,
  fromJsonl,
  fromRows,
  fromText,
  instructionStep,
  openTokenFile,
  type Row,
  SequentialBlocks,
  TokenBatches,
  TokenBlocks,
  tokenFileBytes,
  tokenizeDocuments,
  tokenRange,
  tokenStep,
  verifyTokenFile,
} from "tenon/data";
import { afterAll, describe, expect, test } from "vitest";
import { describeWithData } from "./shared.js";

/** One id per UTF-8 byte. */
const bytes = { encode: (text: string) => ({ ids: new TextEncoder().encode(text) }), vocabSize: 257, hash: "bytes" };

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

describe("documents", () => {
  test("become ids, with an end of text after each", async () => {
    const documents = fromText({ text: "ab<|endoftext|>\nc" }, { by: "document" });
    const tokens = await collectTokens(tokenizeDocuments(documents, bytes, { endOfText: 256 }), bytes.vocabSize);
    expect([...((await tokens.read(0, tokens.length)) as Uint16Array)]).toEqual([97, 98, 256, 99, 256]);
    expect((await tokens.read(0, 1)) as Uint16Array).toBeInstanceOf(Uint16Array);
  });
  test("an id that two bytes do not hold is refused", async () => {
    const pieces = tokenizeDocuments(["ab"], bytes, { endOfText: 65536 });
    await expect(collectTokens(pieces, 65536)).rejects.toThrow("go up to 65535, got 65536");
  });
  test("rows of text become blocks of tokens", async () => {
    const rows = fromText({ text: "abc\nde\nfghi\n" }).map(encodeTexts(bytes, { endOfText: 10 }), tokenStep(bytes));
    const blocks = await rows.pack({ blockSize: 4 }).toArray();
    expect(blocks.map(({ ids }) => String.fromCharCode(...ids))).toEqual(["abc\n", "de\nf", "ghi\n"]);
    expect((await rows.provenance()).unverifiedSteps).toBe(0);
  });
  test("plain strings serve; rows without the text do not", async () => {
    const tokens = await collectTokens(tokenizeDocuments(["x", "", "yz"], bytes));
    expect(tokens.length).toBe(3);
    await expect(collectTokens(tokenizeDocuments([{ body: "x" }] as Row[], bytes))).rejects.toThrow(
      'document 1 has no text in the column "text"',
    );
  });
});

describe("token files", () => {
  const folder = mkdtempSync(join(tmpdir(), "tenon-tokens-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const ids = Int32Array.from({ length: 5000 }, (_, i) => (i * 7919) % 60000);
  const pieces = [ids.subarray(0, 1234), ids.subarray(1234)];
  test.each([2, 4] as const)("%i bytes per id: read by range, equal to memory, block by block", async (width) => {
    const path = join(folder, `corpus-${width}.tokens`);
    writeFileSync(path, await collect(tokenFileBytes(pieces, width)));
    const file = await openTokenFile(path);
    expect(file.length).toBe(5000);
    expect([...Array.from(await file.read(1200, 1300))]).toEqual([...ids.subarray(1200, 1300)]);
    expect(await verifyTokenFile(file)).toBe(true);
    const options = { batchSize: 4, blockSize: 32, seed: 5, nextToken: true };
    const [disk, memory] = [new TokenBlocks(file, options), new TokenBlocks(ids, options)];
    for (let k = 0; k < 5; k++) expect(await disk.next()).toEqual(await memory.next());
    expect(await disk.fingerprint()).toBe(await memory.fingerprint());
    const half = tokenRange(file, 2500, 5000);
    expect((await new SequentialBlocks(half, { batchSize: 1, blockSize: 10 }).next())!.ids[0]).toBe(ids[2500]);
    await file.close();
  });
  test("files of bare ids are read by naming their dtype", async () => {
    const file = await openTokenFile(new Uint8Array(Uint16Array.of(1, 2, 65535).buffer), { dtype: "uint16" });
    expect(Array.from(await file.read(0, 3))).toEqual([1, 2, 65535]);
    await expect(openTokenFile(new Uint8Array(3), { dtype: "uint16" })).rejects.toThrow(
      "3 bytes are no whole number of uint16 ids",
    );
  });
  test("cut, damaged and foreign files are refused", async () => {
    const whole = await collect(tokenFileBytes(pieces, 2));
    for (const length of [whole.length - 1, whole.length - 48, 100, 64]) {
      await expect(openTokenFile(whole.slice(0, length))).rejects.toThrow("was cut or never finished");
    }
    await expect(openTokenFile(new Uint8Array(200))).rejects.toThrow("is no token file");
    const damaged = whole.slice();
    damaged[500] ^= 1;
    expect(await verifyTokenFile(await openTokenFile(damaged))).toBe(false);
    const future = whole.slice();
    future[8] = 9;
    await expect(openTokenFile(future)).rejects.toThrow("has version 9, version 1 was expected");
  });
  test("an id that does not fit is refused", async () => {
    await expect(collect(tokenFileBytes([Int32Array.of(70000)], 2))).rejects.toThrow(
      "ids of 2 bytes reach from 0 to 65535, got 70000",
    );
  });
});

describe("instruction data", () => {
  const decode = (ids: Iterable<number>) => new TextDecoder().decode(Uint8Array.from(ids));
  test("a prompt is read, its response learnt, up to the end of text", () => {
    const [{ ids, labels }] = encodeInstructions(bytes, { endOfText: 256 })({
      instruction: "Add.",
      input: "1+1",
      output: "2",
    });
    expect(decode(ids.slice(0, -1))).toBe("Instruction:\nAdd.\n\n1+1\n\nResponse:\n2");
    expect([...labels].filter((label) => label !== -100)).toEqual([50, 256]);
    expect(ids.length).toBe(labels.length);
  });
  test("a chat: what the assistant says is learnt, with its end marker", () => {
    const messages = [
      { role: "user", content: "hi" },
      { role: "assistant", content: "yo" },
      { role: "user", content: "ok" },
      { role: "assistant", content: "by" },
    ];
    const [{ ids, labels }] = encodeInstructions(bytes)({ messages });
    expect(decode([...labels].filter((label) => label !== -100))).toBe("yo<|im_end|>\nby<|im_end|>\n");
    expect(decode(ids)).toContain("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyo");
  });
  test("rows of both forms in one file: those of one have null in the columns of the other", async () => {
    const text = [
      '{"instruction":"a","output":"b"}',
      '{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yo"}]}',
    ].join("\n");
    const examples = await fromJsonl({ text }).flatMap(encodeInstructions(bytes)).toArray();
    const learnt = examples.map(({ labels }) => decode([...labels].filter((label) => label !== -100)));
    expect(learnt).toEqual(["b", "yo<|im_end|>\n"]);
    expect(() => encodeInstructions(bytes)({ messages: null })).toThrow("needs a list of messages, got null");
  });
  test("an own format", () => {
    const encode = encodeInstructions(bytes, {
      format: (row) => [
        { text: `${row["q"]}=`, train: false },
        { text: String(row["a"]), train: true },
      ],
    });
    expect([...encode({ q: "x", a: "y" })[0].labels]).toEqual([-100, -100, 121]);
  });
  test("long examples: error, truncate, skip", () => {
    const row = { instruction: "a", output: "b".repeat(50) };
    expect(() => encodeInstructions(bytes, { maxLength: 40 })(row, { index: 3 })).toThrow(
      "row 4 has 76 ids, at most 40 were expected",
    );
    expect(encodeInstructions(bytes, { maxLength: 40, overflow: "truncate" })(row)[0].ids.length).toBe(40);
    expect(encodeInstructions(bytes, { maxLength: 10, overflow: "truncate" })(row)).toEqual([]);
    expect(encodeInstructions(bytes, { maxLength: 40, overflow: "skip" })(row)).toEqual([]);
  });
  test("mistakes are refused", () => {
    expect(() => encodeInstructions(bytes)({ instruction: "a", output: "" })).toThrow("has nothing to learn");
    expect(() => encodeInstructions(bytes)({ prompt: "a" })).toThrow('needs a text in the column "instruction"');
    expect(() => encodeInstructions(bytes)({ messages: [] })).toThrow("needs a list of messages");
    expect(() => encodeInstructions(bytes)({ messages: [{ role: "user" }] })).toThrow(
      "message 1: needs { role, content }",
    );
  });
  test("as token batches for the training loop: padding never counts, and the cursor works", async () => {
    const rows = [{ ids: [1, 2, 3] }, { ids: [4] }, { ids: [5, 6] }];
    const make = () =>
      new TokenBatches(
        fromRows(rows, { schema: { fields: { ids: "tokens" } } }).batch({ batchSize: 2, ragged: "pad", epochs: 2 }),
      );
    const source = make();
    expect(await source.next()).toEqual({
      ids: Int32Array.of(1, 2, 3, 4, 0, 0),
      labels: Int32Array.of(1, 2, 3, 4, -100, -100),
      attentionMask: Uint8Array.of(1, 1, 1, 1, 0, 0),
      shape: [2, 3],
    });
    const other = make();
    other.restore(source.state());
    expect(await other.next()).toEqual(await source.next());
    expect(await other.fingerprint()).toMatch(/^[0-9a-f]{64}$/);
    const packed = new TokenBatches(fromRows(rows).pack({ blockSize: 3 }).batch(2));
    expect(await packed.next()).toMatchObject({ ids: Int32Array.of(1, 2, 3, 4, 5, 6), shape: [2, 3] });
    expect(await packed.next()).toBeNull();
    await expect(new TokenBatches(fromRows([{ x: 1 }]).batch(1)).next()).rejects.toThrow(
      'need a column "ids" of tokens, got x',
    );
    const floats = fromRows([{ ids: Int32Array.of(1, 2), labels: [1, 2] }]).map((row) => row);
    await expect(new TokenBatches(floats.batch(1)).next()).rejects.toThrow('need a column "labels" of int32');
  });
  test("through a dataset to padded batches with masked labels", async () => {
    const data = fromRows([
      { instruction: "a", output: "bb" },
      { instruction: "ab", output: "c" },
    ]);
    const examples = data.flatMap(encodeInstructions(bytes), instructionStep(bytes));
    expect((await examples.provenance()).unverifiedSteps).toBe(0);
    const batch = (await examples
      .batch({ batchSize: 2, ragged: "pad", padValue: { labels: -100 }, multipleOf: 8 })
      .next())!;
    const { ids, labels } = batch.columns;
    expect(ids.shape).toEqual([2, 32]);
    expect([...(labels.data as Int32Array)].filter((label) => label !== -100)).toEqual([98, 98, 99]);
    expect(ids.mask!.reduce((a, b) => a + b, 0)).toBe(56);
  });
});

describeWithData("public texts", "text", (folder) => {
  test("instructions: 1,100 examples", async () => {
    const data = fromJson(join(folder, "instruction-data/instruction-data.json"));
    const examples = await data.flatMap(encodeInstructions(bytes), instructionStep(bytes)).toArray();
    expect(examples.length).toBe(1100);
  });
  test("Tiny Shakespeare feeds far more tokens than a small model trains", async () => {
    const tokens = await collectTokens(
      tokenizeDocuments(fromText(join(folder, "tinyshakespeare/input.txt"), { by: "whole" }), bytes),
    );
    expect(tokens.length).toBe(1115394);
    const source = new TokenBlocks(tokens, { batchSize: 12, blockSize: 64, seed: 1, nextToken: true });
    const started = performance.now();
    for (let k = 0; k < 500; k++) await source.next();
    const perSecond = (500 * 12 * 64) / ((performance.now() - started) / 1000);
    // A small model trains below 50,000 tokens per second on one core.
    expect(perSecond).toBeGreaterThan(1_000_000);
  });
});
