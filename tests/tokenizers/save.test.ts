/** Saved tokenizers are the same tokenizers: ours, and all third-party ones that are at hand. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { MemoryStore } from "tenon/runs";
import { byteTokenizer, charTokenizer, loadTokenizer } from "tenon/tokenizers";
import { afterAll, expect, test } from "vitest";
import { type Platform, platform, setPlatform } from "../../src/core/platform.js";
import { data, hasData, readJson } from "./data.js";

const folder = mkdtempSync(join(tmpdir(), "tenon-save-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("to a file, to a folder with its tokenizer_config.json, to a store", async () => {
  const tokenizer = await loadTokenizer(charTokenizer("abc é").toJSON(), { config: { bos_token: "a" } });
  await tokenizer.save(join(folder, "own.json"));
  await tokenizer.save(join(folder, "deep", "er"));
  const store = new MemoryStore();
  await tokenizer.save({ store, folder: "kept" });
  expect(readdirSync(folder).sort()).toEqual(["deep", "own.json"]);
  expect(readdirSync(join(folder, "deep", "er")).sort()).toEqual(["tokenizer.json", "tokenizer_config.json"]);
  const again = [
    await loadTokenizer(join(folder, "own.json")),
    await loadTokenizer(join(folder, "deep", "er")),
    await loadTokenizer(await store.read("kept/tokenizer.json")),
  ];
  for (const { hash } of again) expect(hash).toBe(tokenizer.hash);
  expect(again.map(({ bosId }) => bosId)).toEqual([undefined, 1, undefined]);
});

test("a host without files, and a target that is none", async () => {
  const original: Platform = platform();
  setPlatform({ ...original, openStore: undefined });
  try {
    await expect(byteTokenizer().save("x/y.json")).rejects.toThrow(
      /save: needs a path in a file system, or { store, folder }, got "x\/" on a host that has none/,
    );
  } finally {
    setPlatform(original);
  }
  await expect(byteTokenizer().save(undefined as never)).rejects.toThrow(/save: needs a path.*got undefined/);
});

const oracle = `${data}/tokenizer_oracle/dev`;
const names = hasData ? readdirSync(oracle).filter((name) => name.endsWith(".json") && name !== "texts.json") : [];
test.skipIf(!hasData).each(names)("round trip of %s", async (name) => {
  const texts: string[] = readJson(`${oracle}/texts.json`);
  const { tokenizer: path, ids } = readJson(`${oracle}/${name}`);
  const tokenizer = await loadTokenizer(`${data}/${path}`);
  const file = join(folder, name);
  await tokenizer.save(file);
  const again = await loadTokenizer(file);
  expect(again.hash).toBe(tokenizer.hash);
  // Half a million entries, which vitest compares in seconds; it is asked where they differ, to say how.
  const [got, wanted] = [again.toJSON(), tokenizer.toJSON()];
  if (!isDeepStrictEqual(got, wanted)) expect(got).toEqual(wanted);
  texts.forEach((text, i) => {
    if (i % 4 > 0) return;
    expect(again.encode(text, { addSpecialTokens: false }).ids, JSON.stringify(text)).toEqual(ids[i]);
    if (i % 8 === 0) expect(again.decode(ids[i])).toBe(tokenizer.decode(ids[i]));
  });
});
