import { fromCsv, fromJson, fromJsonl } from "tenon/data";
import { describe, expect, test } from "vitest";

/** How a text comes to the reader of JSON. */
const readers = {
  fromJsonl: (text: string) => fromJsonl({ text: `${text}\n` }, { schema: { fields: { t: "json", x: "json" } } }),
  fromJson: (text: string) => fromJson({ text: `[${text}]` }, { schema: { fields: { t: "json", x: "json" } } }),
  "a cell of CSV": (text: string) =>
    fromCsv({ text: `x\n"${text.replaceAll('"', '""')}"\n` }, { schema: { fields: { x: "json" } } }),
};
type Reader = keyof typeof readers;
const names = Object.keys(readers) as Reader[];

describe("a text that imitates our marks of long numbers costs no more than another", () => {
  const long = "12345678901234567890";
  const texts = {
    "a long run": `{"t":"number ${"# ".repeat(80_000)}","x":${long}}`,
    "many numerals": `{"t":${JSON.stringify(Array.from({ length: 20_000 }, (_, i) => `number ${i} `))},"x":${long}}`,
    "a long run and many numbers": `{"t":"number ${"0".repeat(80_000)} ","x":[${Array(8000).fill(long)}]}`,
  };
  test.each(names.flatMap((name) => Object.keys(texts).map((kind) => [name, kind] as [Reader, keyof typeof texts])))(
    "%s, %s",
    async (name, kind) => {
      const start = performance.now();
      const [row] = await readers[name](texts[kind]).toArray();
      expect(JSON.stringify(row, (_, item) => (typeof item === "bigint" ? "long" : item))).toContain('"long"');
      // Twenty seconds where the mark grows by two characters for each search.
      expect(performance.now() - start).toBeLessThan(3000);
    },
    60_000,
  );
  test("the imitations are kept as they are", async () => {
    const texts = ["number 0 ", "number 1 5", "number \\u0032 ", "number 00 "];
    const text = `{"t":${JSON.stringify(texts).replaceAll("\\\\", "\\")},"x":${long}}`;
    expect(await readers.fromJsonl(text).toArray()).toEqual([
      { t: ["number 0 ", "number 1 5", "number 2 ", "number 00 "], x: BigInt(long) },
    ]);
  });
});

describe("the key __proto__ is refused however it is spelt", () => {
  const spellings = ["__proto__", "\\u005f_proto__", "__pr\\u006Fto__", "__pro\\u0074o__", "__\\u0070roto__"];
  test.each(spellings)("%s", async (spelling) => {
    const text = `{"t":1,"x":{"${spelling}":{"isAdmin":true}}}`;
    await expect(readers.fromJsonl(text).toArray()).rejects.toThrow(
      'expected one JSON object per line, without the key "__proto__"',
    );
    await expect(readers.fromJson(text).toArray()).rejects.toThrow('the key "__proto__" is refused');
    await expect(readers["a cell of CSV"](text).toArray()).rejects.toThrow("expected a JSON value");
  });
  test("a text of that name, and escapes of other letters, are no key of that name", async () => {
    const text = '{"t":"\\u005f_proto__ __proto__","x":{"\\u00e9":1}}';
    expect(await readers.fromJsonl(text).toArray()).toEqual([{ t: "__proto__ __proto__", x: { é: 1 } }]);
  });
});

test("a line nested deeper than 64 is a violation, as deep data would overflow the stack of what comes after", async () => {
  const nested = (depth: number) => `{"t":1,"x":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
  expect(await readers.fromJsonl(nested(64)).count()).toBe(1);
  for (const depth of [65, 200_000]) {
    await expect(readers.fromJsonl(nested(depth)).toArray()).rejects.toThrow(
      "expected one JSON object per line, nested at most 64 deep, got",
    );
  }
  // Brackets in a text, or side by side, are no depth.
  const flat = `{"t":"${"[{".repeat(100)}","x":[${Array(200).fill("{}")}]}`;
  expect(await readers.fromJsonl(flat).count()).toBe(1);
});
