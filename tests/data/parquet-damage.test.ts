import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { ExpansionBudget } from "../../src/data/parquet-budget.js";
import { expandPage } from "../../src/data/parquet-codecs.js";
import { checkDeltaHeader, checkDeltaTexts, walkRuns } from "../../src/data/parquet-runs.js";
import { CompactReader } from "../../src/data/thrift.js";
import { survives } from "./parquet-damage.js";
import { describeWithData } from "./shared.js";

describeWithData("random damage", "parquet/hyparquet", (folder) => {
  const files = [
    "strings",
    "nullable.impala",
    "datapage_v2.snappy",
    "rle_boolean_encoding",
    "nested_structs.rust",
    "delta_byte_array",
  ];
  test.each(files)(
    "%s: rows or an error, soon",
    async (name) => {
      const whole = new Uint8Array(readFileSync(join(folder, `${name}.parquet`)));
      const rounds = whole.length > 50_000 ? 20 : 160;
      const refused = await survives(name, whole, rounds, "anywhere");
      expect(refused + (await survives(name, whole, rounds, "footer"))).toBeGreaterThan(rounds / 2);
    },
    60_000,
  );
});

describe("counts are held against bytes", () => {
  /** How many levels are 1. */
  const runs = (bytes: number[], width: number, count: number, most = 1) => {
    const counts = new Array<number>(most + 1).fill(0);
    walkRuns({ bytes: Uint8Array.from(bytes), at: 0, end: bytes.length, width, count, most, counts, what: "levels" });
    expect(counts.reduce((sum, each) => sum + each)).toBe(count);
    return counts[1];
  };
  test("runs are counted", () => {
    expect(runs([8, 1, 4, 0], 1, 6)).toBe(4); // four ones, two zeros
    expect(runs([3, 0b10110111], 1, 8)).toBe(6);
    expect(runs([3, 0b10110111], 1, 3)).toBe(3); // packed runs come in eights; the rest is padding
    expect(runs([3, 0b11_10_01_00, 0b01_01_01_01], 2, 8, 3)).toBe(5);
  });
  test("runs longer than what is left, beyond the bytes, or above the greatest value", () => {
    expect(() => runs([0xfe, 0xff, 0xff, 0xff, 0x0f, 1], 1, 10)).toThrow(
      "a run of 2147483647 levels where 10 are left",
    );
    expect(() => runs([0xff, 0xff, 0xff, 0xff, 0x0f], 0, 10)).toThrow("where 10 are left");
    expect(() => runs([0xff, 0xff, 0xff, 0xff, 0x0f, 1], 1, 10)).toThrow("does not fit into its page");
    expect(() => runs([8, 1], 1, 6)).toThrow("levels of a page end 2 before the 6 that it announces");
    expect(() => runs([8, 3], 2, 4, 2)).toThrow("levels of a page go up to 2, one is 3");
    expect(() => runs([3, 0b11_10_01_00, 0], 2, 8, 2)).toThrow("levels of a page go up to 2, one is 3");
    expect(() => runs([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1], 1, 6)).toThrow("more than 5 bytes");
  });
  test("delta blocks", () => {
    const header = [0x80, 0x01, 4, 2, 0]; // blocks of 128 values in 4 miniblocks, 2 values, the first is 0
    expect(() => checkDeltaHeader(Uint8Array.from(header), 0, 2)).not.toThrow();
    expect(() => checkDeltaHeader(Uint8Array.from(header), 0, 3)).toThrow("2 delta values, 3 were announced");
    expect(() => checkDeltaHeader(Uint8Array.from([0x80, 0x01, 0, 2, 0]), 0, 2)).toThrow("in 0 miniblocks");
    expect(() => checkDeltaHeader(Uint8Array.from([0, 4, 2, 0]), 0, 2)).toThrow("blocks of 0 values");
    // Two texts of which the second repeats two bytes of a first that has none.
    const prefixes = [0x80, 0x01, 4, 2, 0, 4, 0, 0, 0, 0];
    const suffixes = [0x80, 0x01, 4, 2, 0, 0, 0, 0, 0, 0];
    expect(() => checkDeltaTexts(Uint8Array.from([...prefixes, ...suffixes]), 0, 2)).toThrow("impossible length");
    expect(() => checkDeltaTexts(Uint8Array.from([...suffixes, ...suffixes]), 0, 2)).not.toThrow();
  });
  test("Thrift structs", () => {
    const read = (...bytes: number[]) => new CompactReader(Uint8Array.from(bytes)).struct();
    expect(read(0x15, 0x06, 0x18, 0x02, 65, 66, 0)).toEqual({ 1: 3, 2: Uint8Array.of(65, 66) });
    expect(read(0x19, 0x25, 0x02, 0x04, 0)).toEqual({ 1: [1, 2] });
    expect(() => read(0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07, 0)).toThrow("a Thrift list claims 2147483647 elements");
    expect(() => read(0x18, 0xff, 0x7f, 65, 0)).toThrow("a Thrift text claims 16383 bytes");
    expect(() => read(0x16, ...Array(20).fill(0x80), 0)).toThrow("more than 10 bytes");
    expect(() => read(...Array(100).fill(0x1c), 0)).toThrow("nested more than 32 deep");
    expect(() => read(0x15, 0x06)).toThrow("has no end");
  });
});

describe("pages expand to what they announce", () => {
  const zeros = (length: number) => gzipSync(new Uint8Array(length));
  test("gzip", async () => {
    expect(await expandPage({}, "GZIP", zeros(5000), 5000)).toEqual(new Uint8Array(5000));
    await expect(expandPage({}, "GZIP", zeros(20e6), 5000)).rejects.toThrow("is no gzip data of 5000 bytes");
    await expect(expandPage({}, "GZIP", zeros(100), 5000)).rejects.toThrow(
      "expands to 100 bytes, its header says 5000",
    );
  });
  test("Zstandard: blocks and windows are looked at before anything expands", async () => {
    const never = { ZSTD: () => expect.fail("must not expand") };
    const frame = (descriptor: number[], blocks: number[][]) =>
      Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, ...descriptor, ...blocks.flat()]);
    // Blocks that repeat one byte 2^17 times: 4 bytes each.
    const repeat = [0x02, 0x00, 0x10, 0x61];
    const bomb = frame([0, 0x38], Array(5000).fill(repeat));
    await expect(expandPage(never, "ZSTD", bomb, 1000)).rejects.toThrow("expand beyond its 1000 bytes");
    await expect(expandPage(never, "ZSTD", frame([0, 0xf8], [repeat]), 2 ** 17)).rejects.toThrow("a window of 2^41");
    await expect(expandPage(never, "ZSTD", frame([0xa0, 0, 0, 0, 0x40], [repeat]), 2 ** 17)).rejects.toThrow(
      "claims more bytes than the 131072 of its page",
    );
    await expect(expandPage(never, "ZSTD", Uint8Array.of(1, 2, 3, 4, 5, 6), 10)).rejects.toThrow("Zstandard format");
  });
  test("a row group has a budget", () => {
    const budget = new ExpansionBudget(1000);
    budget.take(250 * 2 ** 20);
    expect(() => budget.take(7 * 2 ** 20)).toThrow("a row group of 1000 bytes claims to expand beyond its limit");
    expect(() => new ExpansionBudget(1000, 2 ** 30).take(2 ** 29)).not.toThrow();
    // Ten megabytes do not make ten gigabytes, but a gigabyte may make sixteen.
    expect(() => new ExpansionBudget(1e6).take(1.1e9)).not.toThrow();
    expect(() => new ExpansionBudget(1e7).take(1.1e10)).toThrow("beyond its limit");
    expect(() => new ExpansionBudget(1e9).take(1.6e10)).not.toThrow();
  });
  test("unknown codecs", async () => {
    await expect(expandPage({}, "LZO", new Uint8Array(9), 9)).rejects.toThrow("the codec LZO is not supported");
  });
});
