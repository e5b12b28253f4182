import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FILE_DTYPES, type FileDTypeName, type TensorBytes } from "../../src/artifacts/dtypes.js";
import { openSafetensors, readSafetensors } from "../../src/artifacts/safetensors.js";
import { safetensorsChunks, weightsHash, writeSafetensors } from "../../src/artifacts/safetensors-write.js";
import { bytesSource, openFolder } from "../../src/artifacts/sources.js";
import { openWeights } from "../../src/artifacts/weights.js";
import { ConfigError, FormatError } from "../../src/core/errors.js";
import { Sha256 } from "../../src/core/sha256.js";
import "../../src/node/platform.js";

const utf8 = new TextEncoder();

/** A file with any header text and any bytes after it. */
function file(header: unknown, data: Uint8Array | number = 0, length?: bigint): Uint8Array {
  const text = utf8.encode(typeof header === "string" ? header : JSON.stringify(header));
  const body = typeof data === "number" ? new Uint8Array(data) : data;
  const bytes = new Uint8Array(8 + text.length + body.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(body, 8 + text.length);
  return bytes;
}

const headerOf = (bytes: Uint8Array): string =>
  new TextDecoder().decode(bytes.subarray(8, 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true))));

const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

describe("reading what others wrote", () => {
  const fixtures = "tests/fixtures/hf";
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

  it("reads a file laid out by hand", () => {
    const data = new Uint8Array(new Float32Array([1, -2, 0.5]).buffer);
    const { metadata, tensors } = readSafetensors(
      file({ __metadata__: { format: "pt" }, a: f32(0, 8), b: f32(8, 12, []) }, data),
    );
    expect({ ...metadata }).toEqual({ format: "pt" });
    expect(tensors.a).toEqual({ dtype: "F32", shape: [2], data: new Float32Array([1, -2]) });
    expect(tensors.b).toEqual({ dtype: "F32", shape: [], data: new Float32Array([0.5]) });
  });

  it("reads PyTorch's sharded bfloat16 checkpoint, tensor by tensor", async () => {
    const reader = await openWeights(openFolder(join(fixtures, "llama-bf16-sharded")));
    const index = JSON.parse(readFileSync(join(fixtures, "llama-bf16-sharded/model.safetensors.index.json"), "utf8"));
    expect(new Set(reader.entries.keys())).toEqual(new Set(Object.keys(index.weight_map)));
    const norm = await reader.read("model.norm.weight");
    expect(norm.dtype).toBe("BF16");
    expect([...norm.shape]).toEqual([64]);
    await expect(reader.read("model.nothing")).rejects.toThrow(/holds no tensor "model.nothing"/);
    await reader.close();
  });

  const misc = join(process.env.TENON_DATA ?? "../shared/data", "weights/safetensors-misc");
  if (!existsSync(misc)) console.log(`skipped: files of other writers, ${misc} is missing`);
  it.skipIf(!existsSync(misc))("reads and rewrites files of other writers byte for byte in their data", () => {
    const names = readdirSync(misc).filter((name) => name.endsWith(".safetensors"));
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) {
      const { tensors } = readSafetensors(readFileSync(join(misc, name)), name);
      const again = readSafetensors(writeSafetensors(tensors));
      for (const [key, { dtype, shape, data }] of Object.entries(tensors)) {
        expect(again.tensors[key].dtype).toBe(dtype);
        expect(again.tensors[key].shape).toEqual(shape);
        const bytes = (array: TensorBytes) => hex(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
        expect(bytes(again.tensors[key].data)).toBe(bytes(data));
      }
    }
  });

  it("reads views that are not aligned", () => {
    const bytes = writeSafetensors({ x: { dtype: "F64", shape: [2], data: new Float64Array([1.5, -3]) } });
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect([...(readSafetensors(shifted.subarray(1)).tensors.x.data as Float64Array)]).toEqual([1.5, -3]);
    const buffer = Buffer.from(shifted.buffer).subarray(1);
    expect([...(readSafetensors(buffer).tensors.x.data as Float64Array)], "a Buffer of Node").toEqual([1.5, -3]);
    expect([...(readSafetensors(bytes.buffer).tensors.x.data as Float64Array)], "an ArrayBuffer").toEqual([1.5, -3]);
  });

  it("gives every name to the tensors, also those that objects inherit", () => {
    const { tensors } = readSafetensors(file({ constructor: f32(0, 4), toString: f32(4, 8) }, 8));
    expect(Object.keys(tensors)).toEqual(["constructor", "toString"]);
    expect(tensors.hasOwnProperty).toBeUndefined();
  });
});

describe("writing the canonical form", () => {
  const tensors = {
    "b.bias": { dtype: "F32", shape: [2], data: new Float32Array([1, 2]) },
    "10": { dtype: "F32", shape: [1], data: new Float32Array([3]) },
    ids: { dtype: "I64", shape: [1], data: new BigInt64Array([7n]) },
    mask: { dtype: "BOOL", shape: [3], data: new Uint8Array([1, 0, 1]) },
    "a.weight": { dtype: "F32", shape: [0, 4], data: new Float32Array(0) },
    half: { dtype: "BF16", shape: [1, 1], data: new Uint16Array([0x3f80]) },
    "\u{1f600}": { dtype: "U8", shape: [1], data: new Uint8Array([9]) },
    "\uff5e": { dtype: "U8", shape: [1], data: new Uint8Array([8]) },
  } as const;

  it("orders by element size, then by UTF-8 bytes, metadata first, header padded to eight bytes", () => {
    const bytes = writeSafetensors(tensors);
    const header = headerOf(bytes);
    expect(header.length % 8 === 0 || utf8.encode(header).length % 8 === 0).toBe(true);
    expect(
      header.startsWith('{"__metadata__":{"format":"pt"},"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},'),
    ).toBe(true);
    // UTF-8 puts U+FF5E before U+1F600, UTF-16 would not.
    expect(Object.keys(readSafetensors(bytes).tensors).filter((name) => name !== "10")).toEqual([
      "ids",
      "a.weight",
      "b.bias",
      "half",
      "mask",
      "\uff5e",
      "\u{1f600}",
    ]);
    expect(header.indexOf('"10"')).toBeLessThan(header.indexOf('"a.weight"'));
    expect(header.trimEnd()).not.toMatch(/[ \n]/);
  });

  it("does not depend on the order in which tensors are given, nor on pieces", async () => {
    const whole = writeSafetensors(tensors);
    const reversed = writeSafetensors(new Map(Object.entries(tensors).reverse()));
    expect(reversed).toEqual(whole);
    const chunks: Uint8Array[] = [];
    for await (const chunk of safetensorsChunks(tensors)) chunks.push(chunk.slice());
    expect(Buffer.concat(chunks)).toEqual(Buffer.from(whole));
    expect(await weightsHash(tensors)).toBe(new Sha256().update(whole).digest());
  });

  it("writes the bytes that are known for one small file", () => {
    const bytes = writeSafetensors({ w: { dtype: "F32", shape: [1], data: new Float32Array([1]) } });
    const header = '{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}   ';
    expect(Buffer.from(bytes).toString("latin1")).toBe(`X\0\0\0\0\0\0\0${header}\0\0\x80?`);
  });

  it("writes every NaN with one pattern and leaves the caller's array alone", async () => {
    const bits = new Uint32Array([0x7fc00001, 0x3f800000, 0xffc00000]);
    const data = new Float32Array(bits.buffer);
    const bytes = writeSafetensors({ x: { dtype: "F32", shape: [3], data } });
    expect([...new Uint32Array(bytes.buffer.slice(bytes.length - 12))]).toEqual([0x7fc00000, 0x3f800000, 0x7fc00000]);
    expect([...bits]).toEqual([0x7fc00001, 0x3f800000, 0xffc00000]);
  });

  it("round-trips every dtype of the format", async () => {
    for (const [dtype, { bits, array }] of Object.entries(FILE_DTYPES)) {
      const count = 8; // also whole bytes for 4 and 6 bits
      const data = new array((count * bits) / 8 / array.BYTES_PER_ELEMENT);
      new Uint8Array(data.buffer).set(Array.from({ length: data.byteLength }, (_, i) => i + 1));
      const bytes = writeSafetensors({ x: { dtype: dtype as FileDTypeName, shape: [2, 4], data } });
      expect(readSafetensors(bytes).tensors.x).toEqual({ dtype, shape: [2, 4], data });
      const lazy = await openSafetensors(bytesSource(bytes, "lazy"));
      expect(await lazy.read("x")).toEqual({ dtype, shape: [2, 4], data });
    }
  });

  it("refuses what it cannot write, naming the tensor", () => {
    const write = (dtype: string, shape: number[], data: TensorBytes, name = "w") =>
      writeSafetensors({ [name]: { dtype: dtype as FileDTypeName, shape, data } });
    expect(() => write("F31", [1], new Float32Array(1))).toThrow(
      /"w" needs a dtype as the format spells them \(F32, I64\), got "F31"/,
    );
    expect(() => write("F32", [2], new Float32Array(1))).toThrow(/"w" of F32 \[2\] needs 8 bytes, got 4 bytes/);
    expect(() => write("F32", [1], new Int32Array(1))).toThrow(/"w" of F32 needs a Float32Array, got an Int32Array/);
    expect(() => write("F32", [-1], new Float32Array(1))).toThrow(/cannot be written/);
    expect(() => write("F4", [3], new Uint8Array(2))).toThrow(/cannot be written/);
    expect(() => write("F32", [1], new Float32Array(1), "__metadata__")).toThrow(/cannot be written/);
  });
});

describe("headers that lie", () => {
  const cases: [what: string, bytes: Uint8Array, message: RegExp][] = [
    ["an empty file", new Uint8Array(0), /liar: at byte 0 8 bytes .* got a file of 0 bytes/],
    ["a length beyond the file", file({}, 0, 3n), /at byte 0 a header of at most 2 bytes expected, got a length of 3/],
    ["a huge length", file({}, 0, 2n ** 64n - 1n), /got a length of 18446744073709551615/],
    ["a header that is no JSON", file("{]"), /header\): is not valid JSON/],
    ["a header that is no object", file("[1]"), /at byte 8 a header that starts with "\{"/],
    ["a header that starts with a space", file(" {}"), /at byte 8 a header that starts/],
    ["no header", file(""), /got no header/],
    ["bytes that are not UTF-8", file("{}").fill(0xff, 9), /a header in UTF-8 expected/],
    ["deep JSON", file(`{"a":${"[".repeat(5000)}`), /nested deeper than 4 at character/],
    ["a duplicate name", file('{"a":{},"\\u0061":{}}'), /every name once expected, got "a" twice/],
    ["a duplicate field", file('{"a":{"dtype":"F32","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), /"dtype" twice/],
    ["__proto__", file('{"__proto__":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'), /"__proto__" is refused/],
    ["an entry that is no object", file({ a: 1 }), /tensor "a": an object expected, got 1/],
    ["an unknown dtype", file({ a: { ...f32(0, 4), dtype: "F33" } }, 4), /tensor "a": a dtype .* got "F33"/],
    [
      "an unknown field",
      file({ a: { ...f32(0, 4), more: 1 } }, 4),
      /only dtype, shape and data_offsets .* got \["more"\]/,
    ],
    ["a negative dim", file({ a: f32(0, 4, [-1]) }, 4), /a shape of whole numbers from 0 expected, got \[-1\]/],
    ["a broken dim", file({ a: f32(0, 4, [0.5]) }, 4), /a shape of whole numbers/],
    ["a shape too large", file({ a: f32(0, 4, [2 ** 40, 2 ** 40]) }, 4), /a size that fits expected/],
    ["negative offsets", file({ a: f32(-4, 0) }, 4), /data_offsets \[begin, end\] expected, got \[-4, 0\]/],
    [
      "offsets that run backwards",
      file({ a: f32(4, 0, [1]) }, 4),
      /data_offsets \[begin, end\] expected, got \[4, 0\]/,
    ],
    ["three offsets", file({ a: { ...f32(0, 4), data_offsets: [0, 4, 8] } }, 8), /data_offsets \[begin, end\]/],
    ["a size that is not the shape's", file({ a: f32(0, 8, [1]) }, 8), /4 bytes for F32 \[1\] expected, got 8 bytes/],
    ["a tensor beyond the file", file({ a: f32(0, 8) }, 4), /tensor "a" up to byte \d+ expected, got a file of/],
    ["a hole at the start", file({ a: f32(4, 8) }, 8), /got a hole up to "a" at byte/],
    ["a hole between", file({ a: f32(0, 4), b: f32(8, 12) }, 12), /got a hole up to "b"/],
    ["an overlap", file({ a: f32(0, 8), b: f32(4, 12) }, 12), /got "b" overlapping the one that ends at/],
    ["a tensor twice in one place", file({ a: f32(0, 4), b: f32(0, 4) }, 4), /got "b" overlapping/],
    ["trailing bytes", file({ a: f32(0, 4) }, 7), /the end of the file expected, got 3 more bytes/],
    ["metadata that is no object", file({ __metadata__: 3 }), /__metadata__ with texts by name expected, got 3/],
    ["metadata that is no text", file({ __metadata__: { a: 1 } }), /a text as __metadata__ "a" expected, got 1/],
  ];
  it.each(cases)("%s", async (_, bytes, message) => {
    expect(() => readSafetensors(bytes, "liar")).toThrow(FormatError);
    expect(() => readSafetensors(bytes, "liar")).toThrow(message);
    await expect(openSafetensors(bytesSource(bytes, "liar"))).rejects.toThrow(message);
  });

  it("refuses a real file cut short at any byte, and one with any byte after it", () => {
    const whole = writeSafetensors({
      "model.weight": { dtype: "F32", shape: [3, 2], data: new Float32Array([1, 2, 3, 4, 5, 6]) },
      "model.bias": { dtype: "F16", shape: [2], data: new Uint16Array([1, 2]) },
      empty: { dtype: "F32", shape: [0], data: new Float32Array(0) },
    });
    expect(Object.keys(readSafetensors(whole).tensors)).toHaveLength(3);
    for (let length = 0; length < whole.length; length++) {
      expect(() => readSafetensors(whole.subarray(0, length)), `cut to ${length} bytes`).toThrow(FormatError);
    }
    const longer = new Uint8Array(whole.length + 1);
    longer.set(whole);
    expect(() => readSafetensors(longer)).toThrow(FormatError);
  });

  it("survives any single flipped bit of the header: an error, or a file that is still whole", () => {
    const whole = writeSafetensors({ w: { dtype: "F32", shape: [2], data: new Float32Array([1, 2]) } });
    let refused = 0;
    for (let bit = 0; bit < 8 * (whole.length - 8); bit++) {
      const flipped = whole.slice();
      flipped[bit >> 3] ^= 1 << (bit & 7);
      try {
        const { tensors } = readSafetensors(flipped);
        for (const { data } of Object.values(tensors)) expect(data.byteLength).toBe(8);
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});

describe("an index that lies", () => {
  const shard = writeSafetensors({ a: { dtype: "U8", shape: [1], data: new Uint8Array(1) } });
  const open = (index: unknown, files: Record<string, Uint8Array> = { "s.safetensors": shard }) =>
    openWeights(openFolder({ ...files, "model.safetensors.index.json": utf8.encode(JSON.stringify(index)) }));

  it.each([
    ["no map", {}, /"weight_map" with file names by tensor expected/],
    ["a missing shard", { weight_map: { a: "t.safetensors" } }, /lists t.safetensors, which is missing/],
    [
      "a path out",
      { weight_map: { a: "../s.safetensors" } },
      /index\.json: a plain file name for "a" expected, got "..\/s.safetensors"/,
    ],
    ["a tensor that is not there", { weight_map: { b: "s.safetensors" } }, /s.safetensors: holds no tensor "b"/],
    ["a number", { weight_map: { a: 1 } }, /a file name for "a" expected, got number/],
  ])("%s", async (_, index, message) => {
    await expect(open(index)).rejects.toThrow(message);
  });

  it("may not name a tensor twice", async () => {
    const index = utf8.encode('{"weight_map":{"a":"t.safetensors","\\u0061":"s.safetensors"}}');
    const files = { "s.safetensors": shard, "model.safetensors.index.json": index };
    await expect(openWeights(openFolder(files))).rejects.toThrow(
      /index\.json: every name once expected, got "a" twice/,
    );
  });

  it("reads the shards it lists, and refuses tensors it forgot", async () => {
    const reader = await open({ weight_map: { a: "s.safetensors" } });
    expect((await reader.read("a")).data).toEqual(new Uint8Array(1));
    const two = writeSafetensors({
      a: { dtype: "U8", shape: [1], data: new Uint8Array(1) },
      b: { dtype: "U8", shape: [1], data: new Uint8Array(1) },
    });
    await expect(open({ weight_map: { a: "s.safetensors" } }, { "s.safetensors": two })).rejects.toThrow(
      /the tensor "b" of s.safetensors is not listed/,
    );
    await expect(openWeights(openFolder({}))).rejects.toThrow(/expected, found neither/);
  });
});

describe("what is no file", () => {
  it.each([undefined, null, "abc", new Float32Array(4), [1, 2]])("%o is refused as such", (bytes) => {
    expect(() => readSafetensors(bytes as any)).toThrow(ConfigError);
    expect(() => readSafetensors(bytes as any)).toThrow(
      "needs the file's bytes as a Uint8Array or an ArrayBuffer, got ",
    );
  });
  it("of sources, tensors and folders too", async () => {
    await expect((openSafetensors as any)()).rejects.toThrow("openSafetensors: needs a source, got undefined.");
    expect(() => writeSafetensors({ a: null } as any)).toThrow('"a" needs { dtype, shape, data }, got null.');
    expect(() => writeSafetensors(null as any)).toThrow("writeSafetensors: needs tensors by name, got null.");
    expect(() => writeSafetensors({}, null as any)).toThrow("writeSafetensors: needs metadata by name, got null.");
    expect(() => writeSafetensors({}, JSON.parse('{"__proto__":"x"}'))).toThrow(
      '"__proto__" cannot be a name of metadata',
    );
    await expect(openFolder({ "config.json": "{}" as any }).find("config.json")).rejects.toThrow(
      "config.json: needs its bytes as a Uint8Array or a Blob, got a string. Of a text: new TextEncoder()",
    );
  });
  it("nor are more tensors than any checkpoint has", () => {
    const entry = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
    const many = (count: number) => file(`{${Array.from({ length: count }, (_, i) => `"t${i}":${entry}`).join(",")}}`);
    expect(() => readSafetensors(many(2 ** 17 + 1))).toThrow("at most 131072 tensors expected, got 131073.");
  });
  it("keys and their escapes are found in long texts", () => {
    const quoted = `{"__metadata__":{"a\\\\":"${'\\"'.repeat(100)}","b":"\\\\"},"a\\\\":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`;
    expect(readSafetensors(file(quoted))).toMatchObject({ metadata: { "a\\": '"'.repeat(100), b: "\\" } });
  });
});
