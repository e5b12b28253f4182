/** What an import costs a page: minified and gzipped, for the imports that people write. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { type OutputChunk, rolldown } from "rolldown";
import { expect, test } from "vitest";
import { exportsOf } from "../house/exports.js";
import { webSource } from "../setup/aliases.js";

interface Row {
  what: string;
  /** Entry point → names imported from it; no names: all of it. */
  imports: Record<string, string[]>;
  /** Parts of `src/` that count although they are loaded on first use. */
  lazy: string[];
  /** Kilobytes (1000 bytes), gzipped. */
  limit: number;
}

const inference = { tenon: ["init", "loadModel"], "tenon/tokenizers": ["loadTokenizer"] };

const rows: Row[] = [
  {
    what: "tensors and gradients on the CPU",
    imports: { tenon: ["init", "tensor"] },
    lazy: ["backend/wasm/"],
    limit: 60,
  },
  {
    // All that a page downloads for GPT-2's file; other files name kinds of components that load when they do.
    what: "load a BPE tokenizer (GPT-2's file), encode and decode",
    imports: { "tenon/tokenizers": ["loadTokenizer"] },
    lazy: [],
    limit: 20,
  },
  // Thirty files, each compressed alone (7 kB more than together), of which no page loads all. RoBERTa's vocab.json took
  // 0.5 kB, refusals of options, settings and too much work 0.6, why there are no workers, and bytes of other realms 0.1.
  { what: "everything about tokenizers", imports: { "tenon/tokenizers": [] }, lazy: ["tokenizers/"], limit: 63.7 },
  {
    what: "inference on the CPU: load a checkpoint with its BPE tokenizer, generate",
    imports: inference,
    lazy: ["backend/wasm/", "tokenizers/models/bpe"],
    limit: 101.5,
  },
  {
    what: "the same where there is WebGPU",
    imports: inference,
    // Kernels for software adapters and for subgroup matrices are loaded with such devices.
    lazy: ["backend/wasm/", "backend/webgpu/backend", "tokenizers/models/bpe"],
    // The goal is 100. Without everything that only training needs it would be 132 (docs/decisions.md). Texts for graphics
    // cards that keep their reads under way took 4 kB, tokens that a device repeats 1 kB, what
    // servers and chosen folders hand over in the place of files 0.6, powers as exact as float32 and the checks of what
    // callers and files may say 2.2, ids of long and of cut texts at speed 0.4, norms within products 0.5, extremes and
    // totals at speed 0.5, refusals of modules and random states 0.4, fewer launches for a token 0.8.
    limit: 141.1,
  },
];

const root = fileURLToPath(new URL("../..", import.meta.url));

test.for(rows)("$what: under $limit kB", async ({ imports, lazy, limit }, { skip }) => {
  for (const [from, names] of Object.entries(imports))
    for (const name of names) if (!exportsOf(webSource(from)).has(name)) skip(`${from} does not export ${name} yet`);
  const chunks = await bundle(imports);
  const counted = reachable(chunks, lazy);
  const kilobytes = counted.reduce((sum, chunk) => sum + gzipSync(chunk.code, { level: 9 }).length, 0) / 1000;
  const largest = counted
    .flatMap((chunk) => Object.entries(chunk.modules))
    .map(([path, { renderedLength }]) => ({ path: relative(root, path), bytes: renderedLength }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 12)
    .map(({ path, bytes }) => `${path} ${bytes}`);
  console.log(`${Object.keys(imports).join(" + ")}: ${kilobytes.toFixed(1)} of ${limit} kB gzipped`);
  expect(kilobytes, `largest modules before minification:\n${largest.join("\n")}`).toBeLessThan(limit);
});

async function bundle(imports: Row["imports"]): Promise<OutputChunk[]> {
  mkdirSync(join(root, ".cache"), { recursive: true });
  const folder = mkdtempSync(join(root, ".cache", "size-"));
  const lines = Object.entries(imports).map(([from, names]) =>
    names.length > 0 ? `export { ${names.join(", ")} } from "${from}";` : `export * from "${from}";`,
  );
  const input = join(folder, "entry.js");
  writeFileSync(input, lines.join("\n"));
  const plugin = { name: "sources", resolveId: (id: string) => (id.startsWith("tenon") ? webSource(id) : undefined) };
  try {
    // The entry stands for a page's script: like Vite and Rollup for pages, the bundler may put shared modules into it.
    const entry = { input, preserveEntrySignatures: "allow-extension" } as const;
    const build = await rolldown({ ...entry, plugins: [plugin], platform: "browser", logLevel: "silent" });
    const { output } = await build.generate({ format: "esm", minify: true });
    await build.close();
    return output.filter((file): file is OutputChunk => file.type === "chunk");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The entry, what it imports, and those chunks loaded later that belong to `lazy`. */
function reachable(chunks: OutputChunk[], lazy: string[]): OutputChunk[] {
  const byName = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
  const found = new Set<OutputChunk>();
  const add = (chunk: OutputChunk) => {
    if (found.has(chunk)) return;
    found.add(chunk);
    for (const name of chunk.imports) if (byName.has(name)) add(byName.get(name)!);
    for (const name of chunk.dynamicImports) {
      const later = byName.get(name);
      const path = relative(join(root, "src"), later?.facadeModuleId ?? "")
        .split(sep)
        .join("/");
      if (later && lazy.some((prefix) => path.startsWith(prefix))) add(later);
    }
  };
  for (const chunk of chunks) if (chunk.isEntry) add(chunk);
  return [...found];
}
