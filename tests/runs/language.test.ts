/** Language models from rows: documents, prompts and responses, chats; and from token files. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LanguageModel } from "tenon";
import * as t from "tenon";
import { fromParquet, openTokenFile, tokenFileBytes, tokenizeDocuments } from "tenon/data";
import { loadRun, MemoryStore, replay, type TrainingConfigInput, train } from "tenon/runs";
import { byteTokenizer } from "tenon/tokenizers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { resolveConfig } from "../../src/runs/config.js";
import { openLanguageData } from "../../src/runs/language-data.js";
import { describeWithData } from "../data/shared.js";

const folder = await mkdtemp(join(tmpdir(), "tenon-language-"));
const path = (name: string) => join(folder, name);
afterAll(() => rm(folder, { recursive: true }));

const animals = ["owl", "fox", "hen", "bee"];
const sums = Array.from({ length: 80 }, (_, i) => ({
  question: `${i % 9} plus ${i % 7}?`,
  answer: `${(i % 9) + (i % 7)}`,
}));
const chats = Array.from({ length: 40 }, (_, i) => ({
  messages: [
    { role: "user", content: `What says the ${animals[i % 4]}?` },
    { role: "assistant", content: ["hoo", "yip", "cluck", "buzz"][i % 4] },
  ],
}));
const stories = Array.from({ length: 60 }, (_, i) => `The ${animals[i % 4]} saw the ${animals[(i * 3 + 1) % 4]}.`);

beforeAll(async () => {
  await writeFile(path("sums.jsonl"), sums.map((row) => JSON.stringify(row)).join("\n"));
  await writeFile(
    path("sums.csv"),
    ["question,answer", ...sums.map((row) => `${row.question},${row.answer}`)].join("\n"),
  );
  await writeFile(path("chats.jsonl"), chats.map((row) => JSON.stringify(row)).join("\n"));
  await writeFile(path("stories.jsonl"), stories.map((story, id) => JSON.stringify({ id, story })).join("\n"));
  await writeFile(path("stories.txt"), stories.join("\n<|endoftext|>\n"));
});

const config = (data: object, more: object = {}, training: object = {}): TrainingConfigInput => ({
  data: { split: { train: 0.75, val: 0.25 }, ...data },
  model: { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16 },
  training: { steps: 6, batchSize: 4, blockSize: 32, evalEvery: 6, checkpointEvery: 3, sampleTokens: 5, ...training },
  seed: 3,
  device: "cpu",
  ...more,
});
const asked = { format: "prompt-response", columns: { prompt: "question", response: "answer" } };
const collate = { multipleOf: 8 };
const open = (...args: Parameters<typeof config>) => openLanguageData(resolveConfig(config(...args)));

describe("what is learnt", () => {
  test("responses and their end, not prompts nor padding", async () => {
    const block = { blockSize: 64 };
    const { source, tokenizer, endOfText } = await open({ jsonl: path("sums.jsonl"), ...asked, collate }, {}, block);
    const { ids, labels, attentionMask, shape } = (await source.next())!;
    expect(shape[0]).toBe(4);
    expect(shape[1] % 8).toBe(0);
    for (let row = 0; row < 4; row++) {
      const part = <A extends Int32Array | Uint8Array>(array: A) => array.slice(row * shape[1], (row + 1) * shape[1]);
      const learnt = part(labels!).filter((label) => label !== -100);
      const real = part(ids).filter((_, i) => part(attentionMask!)[i] === 1);
      const text = tokenizer!.decode([...real]);
      const [, prompt, answer] = /^Instruction:\n(.*)\n\nResponse:\n(\d+)\n$/.exec(text)!;
      expect(sums).toContainEqual({ question: prompt, answer });
      expect(tokenizer!.decode([...learnt])).toBe(`${answer}\n`);
      expect(learnt.at(-1)).toBe(endOfText);
    }
  });
  test("what the assistant says, in chats", async () => {
    const data = { jsonl: path("chats.jsonl"), format: "chat" };
    const { source, tokenizer } = await open(data, { tokenizer: "byte" }, { blockSize: 128 });
    const { labels } = (await source.next())!;
    const learnt = tokenizer!.decode([...labels!.filter((label) => label !== -100)]);
    expect(learnt).toMatch(/^((hoo|yip|cluck|buzz)<\|im_end\|>\n\n){4}$/);
  });
  test("documents, each with its end, whole in one part of the split", async () => {
    const tokenizer = { train: "bpe", vocabSize: 300 };
    const made = await open({ jsonl: path("stories.jsonl"), format: "documents", column: "story" }, { tokenizer });
    expect(made.endOfText).toBe(made.tokenizer!.idOf("<|endoftext|>"));
    const { ids, shape } = (await made.source.next())!;
    const text = made.tokenizer!.decode([...ids.slice(0, shape[1])], { skipSpecialTokens: false });
    expect(text).toContain(".<|endoftext|>The");
    for (const document of text.split("<|endoftext|>").slice(1, -1)) expect(stories).toContain(document);
  });
  test("a text of documents is the same data as rows of them", async () => {
    const rows = await open({ jsonl: path("stories.jsonl"), format: "documents", column: "story" });
    const text = await open({ text: path("stories.txt"), format: "documents" });
    expect(await text.source.next()).toEqual(await rows.source.next());
  });
  test("a CSV file gives the batches of JSON lines, numbers that are answers included", async () => {
    const block = { blockSize: 64 };
    const csv = await open({ csv: path("sums.csv"), ...asked }, {}, block);
    const jsonl = await open({ jsonl: path("sums.jsonl"), ...asked }, {}, block);
    expect(await csv.source.next()).toEqual(await jsonl.source.next());
  });
});

describe("training", () => {
  const cases = {
    "prompt-response": config({ jsonl: path("sums.jsonl"), ...asked }, {}, { blockSize: 64 }),
    chat: config({ jsonl: path("chats.jsonl"), format: "chat" }, { tokenizer: "byte" }, { blockSize: 128 }),
    documents: config({ jsonl: path("stories.jsonl"), format: "documents", column: "story" }),
  };
  test.each(Object.entries(cases))("%s: a stopped run goes on with the same bits, and replays", async (_, given) => {
    const whole = await train(given, { store: new MemoryStore() });
    expect(whole.trainLoss).toBeLessThan(5.6);
    expect(whole.valLoss).toBeGreaterThan(0);
    const store = new MemoryStore();
    const run = train(given, { store });
    for await (const event of run) if (event.type === "step" && event.step === 4) void run.stop();
    const { executionId, steps } = await run;
    expect(steps).toBeLessThan(6);
    const resumed = await train(undefined as never, { store, resume: executionId });
    expect(resumed.weightsHash).toBe(whole.weightsHash);
    expect(resumed.runId).toBe(whole.runId);
    expect((await replay(executionId, { store })).verdict).toBe("equal bits");
    const { manifest } = await loadRun(executionId, { store });
    expect(manifest.provisional).toBeUndefined();
    const changed = { ...given, data: { ...given.data, split: { train: 0.5, val: 0.5 } } } as TrainingConfigInput;
    expect((await train(changed, { store: new MemoryStore() })).runId).not.toBe(whole.runId);
  });
  test("a small model learns what the chats say, and stops where they end", async () => {
    const { runDir } = await train(
      config({ jsonl: path("chats.jsonl"), format: "chat" }, {}, { steps: 120, blockSize: 96, learningRate: 1e-2 }),
      { store: path("runs") },
    );
    const model = await t.loadModel<LanguageModel>(`${runDir}/checkpoints/step-000120`);
    const prompt = "<|im_start|>user\nWhat says the fox?<|im_end|>\n<|im_start|>assistant\n";
    const { text } = await model.generate(prompt, { maxTokens: 30, temperature: 0 });
    expect(text).toContain("yip<|im_end|>");
    model.dispose();
  });
});

describe("token files", () => {
  const bytes = byteTokenizer();
  beforeAll(async () => {
    await writeFile(path("stories.tokens"), tokenFileBytes(tokenizeDocuments(stories, bytes, { endOfText: 10 }), 2));
    const file = await openTokenFile(path("stories.tokens"));
    const ids = Uint16Array.from((await file.read(0, file.length)) as Uint16Array);
    await file.close();
    await writeFile(path("stories.bin"), ids);
  });
  test("train like the text that they hold, with its tokenizer or none", async () => {
    await writeFile(path("lines.txt"), stories.map((story) => `${story}\n`).join(""));
    const text = await train(config({ text: path("lines.txt") }, { tokenizer: "byte" }), { store: new MemoryStore() });
    const named = await train(config({ tokens: path("stories.tokens") }, { tokenizer: "byte" }), {
      store: new MemoryStore(),
    });
    expect(named.weightsHash).toBe(text.weightsHash);
    const model = { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16, vocab_size: 256 };
    const bare = await train(config({ tokens: path("stories.bin"), dtype: "uint16" }, { model }), {
      store: new MemoryStore(),
    });
    expect(bare.weightsHash).toBe(text.weightsHash);
    expect(bare.valLoss).toBe(text.valLoss);
  });
  test("resume and replay", async () => {
    const store = new MemoryStore();
    const given = config({ tokens: path("stories.tokens") }, { tokenizer: "byte" });
    const run = train(given, { store });
    for await (const event of run) if (event.type === "step" && event.step === 4) void run.stop();
    const { executionId } = await run;
    const resumed = await train(undefined as never, { store, resume: executionId });
    expect(resumed.weightsHash).toBe((await train(given, { store: new MemoryStore() })).weightsHash);
    expect((await replay(executionId, { store })).verdict).toBe("equal bits");
  });
});

describe("errors say what to do", () => {
  const fails = async (data: object, message: string, more: object = {}, training: object = {}) =>
    await expect(train(config(data, more, training), { store: new MemoryStore() })).rejects.toThrow(message);
  const jsonl = path("sums.jsonl");
  test("columns", async () => {
    await fails({ jsonl, format: "documents" }, 'has no column "text", which data of the format "documents" need.');
    await fails({ jsonl, format: "documents" }, "The columns are question, answer: name them in data.column.");
    await fails({ jsonl, format: "documents", column: "anser" }, 'Did you mean "answer"?');
    await fails({ jsonl, format: "prompt-response" }, 'has no column "instruction"');
    await fails({ jsonl, format: "chat" }, 'has no column "messages"');
  });
  test("fields that take no part", async () => {
    await fails({ jsonl, format: "chats" }, '"data.format" needs "documents", "prompt-response" or "chat"');
    await fails(
      { jsonl, ...asked, target: "answer" },
      '"data.target" needs nothing, as it takes no part where the data are jsonl in the format "prompt-response"',
    );
    await fails({ jsonl, target: "answer", column: "question" }, '"data.column" needs nothing');
    await fails({ tokens: path("stories.tokens"), format: "documents" }, '"data.format" needs nothing');
    await fails({ text: path("stories.txt"), format: "chat" }, '"data.format" needs "documents", as the data are text');
    await fails({ jsonl, ...asked, collate: { padSide: "left" } }, '"data.collate.padSide" needs nothing');
    await fails({ jsonl, ...asked }, '"model.model_type" needs gpt2', { model: { model_type: "mlp" } });
  });
  test("tokenizers", async () => {
    const tokens = path("stories.tokens");
    await fails({ tokens }, '"model.vocab_size" needs the number of ids');
    await fails({ tokens }, '"tokenizer" needs "byte" or the place of the tokenizer.json', { tokenizer: "char" });
    await fails({ jsonl, ...asked }, '"tokenizer" needs', { tokenizer: "none" });
    await fails({ jsonl, ...asked, endOfText: "the end" }, "data.endOfText needs a text that is one token", {
      tokenizer: "byte",
    });
    await fails({ tokens: path("stories.txt") }, "is no token file", { tokenizer: "byte" });
    await fails(
      { text: path("stories.txt") },
      'config: "model.vocab_size" needs at least the 256 ids of the tokenizer, got 10. Leave it out',
      { tokenizer: "byte", model: { vocab_size: 10 } },
    );
  });
  test("rows: too long, empty, or no text", async () => {
    const tooLong = /sums\.jsonl: row \d+ has \d+ ids, at most 33 were expected\. A larger blockSize/;
    await expect(train(config({ jsonl, ...asked }), { store: new MemoryStore() })).rejects.toThrow(tooLong);
    await fails({ jsonl, ...asked, onViolation: "skip" }, "none of 60 examples fits into 33 ids");
    const cut = await open({ jsonl, ...asked, collate: { ragged: "truncate" } }, {}, { blockSize: 42 });
    expect((await cut.source.next())!.shape[1]).toBeLessThanOrEqual(43);
    await writeFile(path("holes.jsonl"), '{"text":"one"}\n{"text":null}\n{"text":7}\n');
    await fails(
      { jsonl: path("holes.jsonl"), format: "documents" },
      'holes.jsonl: row 2 (line 2), column "text": expected a string',
    );
    const skipped = train(
      config(
        { jsonl: path("holes.jsonl"), format: "documents", onViolation: "skip", split: { train: 1, val: 0 } },
        {},
        { blockSize: 2 },
      ),
      { store: new MemoryStore() },
    );
    const warnings: string[] = [];
    for await (const event of skipped) if (event.type === "warning") warnings.push(event.message);
    await skipped;
    expect(warnings.join("\n")).toContain("2 rows that break the schema are left out");
  });
});

describeWithData("stories in a Parquet file", "parquet/generated", (data) => {
  test("train a language model", async () => {
    const parquet = join(data, "tinystories_snappy.parquet");
    expect((await fromParquet(parquet)).schema.fields[0]).toMatchObject({ name: "text", type: "string" });
    const { trainLoss } = await train(config({ parquet, format: "documents" }, { tokenizer: "byte" }), {
      store: new MemoryStore(),
    });
    expect(trainLoss).toBeLessThan(5.6);
  });
});
