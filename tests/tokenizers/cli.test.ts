/** `tenon tokenize` and `tenon tokenizer train`. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { byteTokenizer } from "tenon/tokenizers";
import { afterAll, expect, test, vi } from "vitest";
import { UsageError } from "../../src/cli/arguments.js";
import { run as tokenize } from "../../src/cli/tokenize.js";
import { run as train } from "../../src/cli/tokenizer-train.js";
import { recordingIo } from "../setup/command-io.js";

const folder = mkdtempSync(join(tmpdir(), "tenon-tokenizers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function call(run: typeof tokenize, args: string[], isTerminal = false) {
  const { io, out: lines, err: errors } = recordingIo(isTerminal);
  return { code: await run(args, io), lines, errors };
}

test("train, then tokenize, with and without --json", async () => {
  const corpus = join(folder, "corpus.txt");
  const out = join(folder, "tokenizer.json");
  writeFileSync(corpus, "the cat sat on the mat ".repeat(50));
  const trained = await call(train, [corpus, "--model", "bpe", "--vocab-size", "270", "--out", out, "--json"]);
  expect(trained.code).toBe(0);
  const summary = JSON.parse(trained.lines.at(-1) as string);
  expect(summary).toMatchObject({ model: "bpe", out });
  expect(summary.hash).toMatch(/^[0-9a-f]{64}$/);

  const plain = await call(tokenize, [out, "--text", "the cat", "--metrics"]);
  expect(plain.lines.some((line) => /\d+ {2}"Ġcat"|"Ġ/.test(line))).toBe(true);
  expect(plain.lines.join("\n")).toMatch(/fertility .* tokens per word/);
  const json = await call(tokenize, [out, "--text", "the cat", "--metrics", "--json"]);
  const result = JSON.parse(json.lines[0]);
  expect(json.lines).toHaveLength(1);
  expect(result.count).toBe(result.ids.length);
  expect(result.hash).toBe(summary.hash);
  expect(result.metrics.coverage).toBe(1);
  const coloured = await call(tokenize, [out, "--text", "the cat"], true);
  expect(coloured.lines[0]).toContain("\u001b[48;5;24m");
  vi.stubEnv("NO_COLOR", "1");
  expect((await call(tokenize, [out, "--text", "the cat"], true)).lines.join()).not.toContain("\u001b");
  vi.unstubAllEnvs();
});

test("a text that is no UTF-8 is refused, not read with other characters in its place", async () => {
  const latin1 = join(folder, "latin1.txt");
  writeFileSync(latin1, Buffer.from("caf\u00e9 ".repeat(20), "latin1"));
  const tokenizer = join(folder, "bytes.json");
  writeFileSync(tokenizer, JSON.stringify(byteTokenizer()));
  const refusal = `${latin1}: needs UTF-8, got other bytes.`;
  await expect(call(train, [latin1, "--out", join(folder, "t.json")])).rejects.toThrow(refusal);
  await expect(call(tokenize, [tokenizer, "--file", latin1])).rejects.toThrow(refusal);
  await expect(call(tokenize, [tokenizer, "--file", join(folder, "none.txt")])).rejects.toThrow(
    /none.txt: cannot be read/,
  );
});

test("wrong calls are usage errors", async () => {
  await expect(call(tokenize, ["x.json"])).rejects.toThrow(UsageError);
  await expect(call(train, ["x.txt"])).rejects.toThrow(/--out/);
  await expect(call(train, ["x.txt", "--out", folder])).rejects.toThrow(/is a folder, a file to write was expected/);
  const nowhere = join(folder, "none", "t.json");
  await expect(call(train, ["x.txt", "--out", nowhere])).rejects.toThrow(/there is no such folder/);
  await expect(call(tokenize, [join(folder, "missing.json"), "--text", "a"])).rejects.toThrow(/no such file/);
});
