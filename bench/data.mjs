// Reading rates of `tenon/data` beside its peers, in one run: `node bench/data.mjs [filter] [--json]`.
// Peers are dependencies of bench/ alone: `npm install --prefix bench`. Data: the public files beside the project.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { bundle } from "./bundle.mjs";

const here = import.meta.dirname ?? resolve("bench");
const data = resolve(process.env.TENON_DATA ?? "../shared/data");
const filter = process.argv.slice(2).find((arg) => !arg.startsWith("--")) ?? "";

async function tenon() {
  const dir = resolve(".cache/bench-data");
  await bundle("src/node/data.ts", join(dir, "data.mjs"), { parts: true });
  return import(pathToFileURL(join(dir, "data.mjs")).href);
}

/** A peer out of bench/node_modules, or undefined where it is not installed. */
async function peer(name) {
  const folder = join(here, "node_modules", name);
  if (!existsSync(folder)) return undefined;
  const { exports = {}, module, main } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const pick = (entry) =>
    typeof entry === "string" ? entry : entry && pick(entry.node ?? entry.import ?? entry.default);
  const file = pick(typeof exports === "string" ? exports : (exports["."] ?? exports)) ?? module ?? main;
  return import(pathToFileURL(join(folder, file)).href);
}

/**
 * Rates in MB/s, best of the rounds; the contestants take turns, so that a busy machine is busy for all. Rounds are many
 * and short, so that each meets a quiet moment; who is far behind after three is not asked again.
 */
async function race(title, bytes, contestants, rounds = 15) {
  if (!title.includes(filter)) return undefined;
  const best = {};
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contestants)) {
      if (!run || (round >= 3 && best[name] < Math.max(...Object.values(best)) / 4)) continue;
      globalThis.gc?.();
      const started = performance.now();
      await run();
      const rate = bytes / 1e6 / ((performance.now() - started) / 1000);
      best[name] = Math.max(best[name] ?? 0, rate);
    }
  }
  const ours = Math.max(
    ...Object.entries(best)
      .filter(([name]) => name.startsWith("tenon"))
      .map(([, rate]) => rate),
  );
  const theirs = Object.entries(best).filter(([name]) => !name.startsWith("tenon"));
  const fastest = theirs.sort(([, a], [, b]) => b - a)[0];
  const ratio = fastest ? ours / fastest[1] : Number.NaN;
  console.log(
    `${title}: ${Object.entries(best)
      .map(([name, rate]) => `${name} ${rate.toFixed(1)}`)
      .join(", ")} MB/s; ratio to the fastest peer ${ratio.toFixed(2)}`,
  );
  return { title, unit: "MB/s", rates: best, fastestPeer: fastest?.[0], ratio };
}

/** A file's rows again and again, up to about `size` bytes. */
function repeated(path, size) {
  const text = readFileSync(path, "utf8").replace(/\r\n/g, "\n");
  const head = text.slice(0, text.indexOf("\n") + 1);
  const body = text.endsWith("\n") ? text.slice(head.length) : `${text.slice(head.length)}\n`;
  return new TextEncoder().encode(head + body.repeat(Math.max(1, Math.round(size / body.length))));
}

const { fromCsv, fromParquet, TokenBlocks } = await tenon();
const [udsv, papa, d3, hyparquet, compressors] = await Promise.all(
  ["udsv", "papaparse", "d3-dsv", "hyparquet", "hyparquet-compressors"].map(peer),
);
const results = [];

for (const file of [
  "tabular/seaborn-data/diamonds.csv",
  "tabular/california-housing/housing.csv",
  "csv/rust-csv-bench/gtfs-mbta-stop-times.csv",
]) {
  if (!existsSync(join(data, file))) {
    console.log(`skipped: ${file} is absent (set TENON_DATA)`);
    continue;
  }
  const bytes = repeated(join(data, file), 10e6);
  const { schema } = await fromCsv(bytes);
  const decode = () => new TextDecoder().decode(bytes);
  const pieces = (use) => {
    const decoder = new TextDecoder();
    for (let at = 0; at < bytes.length; at += 1 << 18)
      use(decoder.decode(bytes.subarray(at, at + (1 << 18)), { stream: true }));
  };
  results.push(
    await race(`csv typed rows, ${file.split("/").pop()}`, bytes.length, {
      // Validation against the schema included; rows pass one by one through the public iterator.
      tenon: async () => {
        let rows = 0;
        for await (const _ of fromCsv(bytes, { schema })) rows++;
        return rows;
      },
      "tenon (count)": () => fromCsv(bytes, { schema }).count(),
      "udsv typedObjs":
        udsv &&
        (() => {
          const text = decode();
          const parser = udsv.initParser(udsv.inferSchema(text));
          return parser.typedObjs(text);
        }),
      "udsv typedObjs, streamed":
        udsv &&
        (() => {
          let parser;
          let rows = 0;
          pieces((text) => {
            parser ??= udsv.initParser(udsv.inferSchema(text));
            parser.chunk(text, parser.typedObjs, (batch) => {
              rows += batch.length;
            });
          });
          parser.end();
          return rows;
        }),
      "d3-dsv autoType": d3 && (() => d3.csvParse(decode(), d3.autoType)),
      "papaparse dynamicTyping":
        papa && (() => (papa.default ?? papa).parse(decode(), { header: true, dynamicTyping: true })),
    }),
  );
}

for (const file of ["parquet/generated/mixed_snappy.parquet", "parquet/generated/tinystories_snappy.parquet"]) {
  if (!existsSync(join(data, file))) continue;
  const bytes = readFileSync(join(data, file));
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const times = 8;
  results.push(
    await race(`parquet rows, ${file.split("/").pop()}`, bytes.length * times, {
      tenon: async () => {
        for (let k = 0; k < times; k++) await fromParquet(bytes).toArray();
      },
      hyparquet:
        hyparquet &&
        (async () => {
          for (let k = 0; k < times; k++)
            await hyparquet.parquetReadObjects({ file: buffer, compressors: compressors?.compressors });
        }),
    }),
  );
}

if ("token blocks".includes(filter)) {
  const ids = Uint16Array.from({ length: 1_000_000 }, (_, i) => i % 50257);
  const source = new TokenBlocks(ids, { batchSize: 12, blockSize: 64, seed: 1, nextToken: true });
  const started = performance.now();
  const steps = 20_000;
  for (let k = 0; k < steps; k++) await source.next();
  const rate = (steps * 12 * 64) / ((performance.now() - started) / 1000);
  console.log(`token blocks, 12 x 64: ${(rate / 1e6).toFixed(1)} million tokens per second`);
  results.push({ title: "token blocks", unit: "tokens/s", rates: { tenon: rate } });
}

if (process.argv.includes("--json")) console.log(JSON.stringify(results.filter(Boolean)));
