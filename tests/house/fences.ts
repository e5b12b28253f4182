/**
 * Code fences of a Markdown page, as `docs/testing.md` explains them to authors:
 *   ```ts              a program of its own, run
 *   ```ts continue     goes on with the program before it
 *   ```ts no-run       type-checked only
 *   ```text output     what the program before it prints
 *   ```json file=x     written to `x` beside the programs
 */
export interface Example {
  /** Line of the first fence, from 1. */
  line: number;
  language: "ts" | "js";
  code: string;
  run: boolean;
  /** Expected standard output. */
  output?: string;
}

export interface Page {
  examples: Example[];
  files: { name: string; text: string }[];
}

export function readPage(markdown: string): Page {
  const page: Page = { examples: [], files: [] };
  for (const fence of fences(markdown)) {
    const [language, ...words] = fence.info.split(/\s+/);
    const last = page.examples.at(-1);
    const file = words.find((word) => word.startsWith("file="))?.slice("file=".length);
    if (file) page.files.push({ name: file, text: fence.text });
    else if (words.includes("output") && last) last.output = fence.text;
    else if (language !== "ts" && language !== "js") continue;
    else if (words.includes("continue") && last) last.code += fence.text;
    else page.examples.push({ line: fence.line, language, code: fence.text, run: !words.includes("no-run") });
  }
  return page;
}

/** Fences open with three or more backticks and close with the same; one inside a list is indented. */
function* fences(markdown: string): Generator<{ line: number; info: string; text: string }> {
  const lines = markdown.split(/\r?\n/);
  for (let i = 0; i < lines.length; i++) {
    const open = /^(\s*)(`{3,})(.*)$/.exec(lines[i]);
    if (!open) continue;
    const [, indent, ticks, info] = open;
    const start = i + 1;
    for (i = start; i < lines.length && lines[i].trim() !== ticks; i++);
    const body = lines.slice(start, i).map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line));
    yield { line: start, info: info.trim(), text: body.map((line) => `${line}\n`).join("") };
  }
}
