/** Large batches: workers (here ports of this thread, so that they can be slow, refused and killed) change nothing. */
import { MessageChannel } from "node:worker_threads";
import { byteTokenizer, charTokenizer, loadTokenizer, type Tokenizer, trainTokenizer } from "tenon/tokenizers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Platform, type PlatformWorker, platform, setPlatform } from "../../src/core/platform.js";
import { setWarningListener } from "../../src/core/warnings.js";
import { batching } from "../../src/tokenizers/batch.js";
import { serve } from "../../src/tokenizers/batch-serve.js";
import { wellFormed } from "../../src/tokenizers/offsets.js";

const original: Platform = platform();
const usual = { ...batching };
let started = 0;
let answers = 0;

/** A worker that answers `after` messages and then dies with an error, or never. */
function portWorker(after = Number.POSITIVE_INFINITY): PlatformWorker {
  started++;
  const { port1, port2 } = new MessageChannel();
  const failures: ((error: Error) => void)[] = [];
  let left = after;
  serve({
    postMessage(message, transfer) {
      if (left-- > 0) {
        answers++;
        port2.postMessage(message, transfer as never);
      } else for (const fail of failures) fail(new Error("killed"));
    },
    addEventListener: (_, listener) => port2.on("message", (data) => listener({ data })),
  });
  return {
    post: (message, transfer = []) => port1.postMessage(message, transfer as never),
    onMessage: (listener) => port1.on("message", listener),
    onError: (listener) => failures.push(listener),
    terminate: () => port1.close(),
  };
}

beforeEach(() => {
  started = answers = 0;
  Object.assign(batching, { worthAWorker: 1, chunk: 20_000, workers: 3, idle: 0 });
});
afterEach(() => {
  setPlatform(original);
  Object.assign(batching, usual);
});

const withWorkers = (make: () => PlatformWorker) => setPlatform({ ...original, cores: 4, spawnModule: make });

/** More than what is done at once, with pairs, empty texts, lone surrogates and halves of pairs side by side. */
const odd = ["", "é日本👩‍👩‍👧 ", "a\ud800", "\udc00b", "the cat sat on the mat. "];
const texts = Array.from({ length: 1500 }, (_, i): string | [string, string] => {
  const text = odd[i % odd.length].repeat(1 + ((i * 7) % 90));
  return i % 11 === 0 ? [text, `second ${i}`] : text;
});
const single = texts.map((text) => (typeof text === "string" ? text : text[0]));
const encodeOne = (tokenizer: Tokenizer, text: string | [string, string], options: object) =>
  typeof text === "string"
    ? tokenizer.encode(text, options)
    : tokenizer.encode(text[0], { ...options, textPair: text[1] });

describe("encodeBatch in workers", () => {
  test.each([{}, { addSpecialTokens: false }, { truncation: 400 }, { dropoutSeed: 3 }, { padding: { multipleOf: 8 } }])(
    "equals encode, in order: %j",
    async (options) => {
      const tokenizer = await trainTokenizer("the cat sat on the mat. ".repeat(9), { vocabSize: 280 });
      const { padding, ...rest } = options as { padding?: object };
      const wanted = texts.map((text) => encodeOne(tokenizer, text, rest));
      withWorkers(() => portWorker());
      const batch = await tokenizer.encodeBatch(texts, options);
      expect(started).toBe(3);
      expect(answers).toBeGreaterThan(3);
      const length = Math.ceil(Math.max(...wanted.map(({ ids }) => ids.length)) / 8) * 8;
      batch.forEach((encoding, i) => {
        const { ids } = wanted[i];
        expect(encoding.ids).toEqual(padding ? [...ids, ...new Array(length - ids.length).fill(0)] : ids);
        if (i % 50 === 0) {
          expect(encoding.row().ids).toEqual(encoding.ids);
          expect(encoding.offsets.slice(0, ids.length)).toEqual(wanted[i].offsets);
        }
      });
    },
  );

  test("decodeBatch gives the texts back, from lists of every kind", async () => {
    const tokenizer = byteTokenizer();
    withWorkers(() => portWorker());
    const lists = single.map((text, i) => {
      const { ids } = tokenizer.encode(text);
      return i % 3 === 0 ? ids : i % 3 === 1 ? Int32Array.from(ids) : Uint8Array.from(ids);
    });
    expect(await tokenizer.decodeBatch(lists)).toEqual(single.map((text) => wellFormed(text)));
    expect(answers).toBeGreaterThan(3);
  });

  test("the error is that of the first text that fails, with its number", async () => {
    const tokenizer = await loadTokenizer({
      model: { type: "Unigram", unk_id: null, vocab: [["a", 0]] },
      pre_tokenizer: null,
    });
    const many = Array.from({ length: 1500 }, (_, i) => (i === 1200 || i === 700 ? "b" : "a".repeat(500)));
    const alone = (() => {
      try {
        tokenizer.encode("b");
      } catch (error) {
        return error as Error;
      }
    })() as Error;
    for (const workers of [true, false]) {
      if (workers) withWorkers(() => portWorker());
      else setPlatform({ ...original, cores: 1 });
      const error = await tokenizer.encodeBatch(many).catch((caught) => caught);
      expect(error.constructor).toBe(alone.constructor);
      expect(error).toMatchObject({ message: `${alone.message} (in encodeBatch, text 700)`, index: 700 });
    }
    await expect(tokenizer.encodeBatch(["a", "b"])).rejects.toMatchObject({ index: 1 });
    withWorkers(() => portWorker());
    const ids = Array.from({ length: 1000 }, (_, i) => new Array(1000).fill(i === 640 ? 9 : 0));
    await expect(tokenizer.decodeBatch(ids)).rejects.toThrow(/got 9 at position 0.*\(in decodeBatch, text 640\)/);
  });

  const failing: [string, () => PlatformWorker][] = [
    [
      "refused at once",
      () => {
        throw new Error("refused by the policy");
      },
    ],
    ["refused later", () => portWorker(0)],
    ["killed in the middle", () => portWorker(2)],
    [
      "that exit",
      () => original.spawn(`require("node:worker_threads").parentPort.on("message", () => process.exit(0))`, "exits"),
    ],
  ];
  test.each(failing)("workers %s: this thread does what is left, and says so once", async (_, make) => {
    const tokenizer = charTokenizer("the catsonm.");
    const warnings: string[] = [];
    const before = setWarningListener(({ code }) => warnings.push(code));
    withWorkers(make);
    try {
      const batch = await tokenizer.encodeBatch(single);
      expect(batch.map(({ ids }) => ids)).toEqual(single.map((text) => tokenizer.encode(text).ids));
    } finally {
      setWarningListener(before);
    }
    expect(new Set(warnings).size).toBeLessThanOrEqual(1);
  });

  test("other events come in between, without workers too", async () => {
    setPlatform({ ...original, cores: 1 });
    let between = 0;
    const timer = setInterval(() => between++, 0);
    await byteTokenizer().encodeBatch(single.concat(single, single));
    clearInterval(timer);
    expect(between).toBeGreaterThan(0);
  });
});
