import { fileURLToPath } from "node:url";

const src = (path: string) => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));
const folders = ["tokenizers", "data", "models", "artifacts", "runs"];

/** `tenon/x` in tests is the source of that entry: its Node face in Node, its web face in browsers. */
export const aliases = (host: "node" | "web") => [
  { find: /^tenon$/, replacement: src(host === "node" ? "node/tenon.ts" : "index.ts") },
  { find: /^tenon\/node$/, replacement: src("node/index.ts") },
  {
    find: new RegExp(`^tenon/(${folders.join("|")})$`),
    replacement: src(host === "node" ? "node/$1.ts" : "$1/index.ts"),
  },
  { find: /^tenon\/(nn|optim)$/, replacement: src("$1/index.ts") },
];

/** The source file behind an entry point in a page: what the `default` condition of package.json leads to. */
export function webSource(entry: string): string {
  const { find, replacement } = aliases("web").find(({ find }) => find.test(entry))!;
  return entry.replace(find, replacement);
}
