import { defineConfig } from "rolldown";

const folders = ["tokenizers", "data", "models", "artifacts", "runs"];
const input: Record<string, string> = {
  index: "src/index.ts",
  nn: "src/nn/index.ts",
  optim: "src/optim/index.ts",
  cli: "src/cli/main.ts",
};
for (const name of folders) {
  input[name] = `src/${name}/index.ts`;
  input[`node/${name}`] = `src/node/${name}.ts`;
}
input["node/tenon"] = "src/node/tenon.ts";
input["node/index"] = "src/node/index.ts";

const output = { dir: "dist", format: "esm", sourcemap: true } as const;

export default defineConfig([
  {
    input,
    // Dependencies of the package stay imports; only our own files are bundled, into chunks shared by all entries.
    external: (id) => !id.startsWith(".") && !id.startsWith("/"),
    output: { ...output, chunkFileNames: "chunks/[name]-[hash].js", cleanDir: true },
  },
  {
    // A worker's module in one piece, beside the chunk that starts it: whatever a user's bundler makes of
    // `new URL("./tokenizer-worker.js", import.meta.url)` (a worker, an asset, nothing), it runs.
    input: { "chunks/tokenizer-worker": "src/tokenizers/tokenizer-worker.ts" },
    // Without the code that starts it, which it never needs: bundlers would go round in circles (Turbopack for ever).
    plugins: [{ name: "no-batch", load: (id) => (/[\\/]batch\.ts$/.test(id) ? "export {};" : undefined) }],
    output: { ...output, codeSplitting: false },
  },
]);
