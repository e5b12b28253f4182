/** Where third-party tokenizers and their expected ids are, and what to say where they are missing. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
export const data = process.env.TENON_DATA ?? `${root}../shared/data`;
export const hasData = existsSync(`${data}/tokenizer_oracle`);
if (!hasData) console.warn(`skipped: tests that need third-party tokenizers, ${data} is not there`);

export const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8"));
export const fixture = (name: string) => readJson(`${root}tests/fixtures/tokenizers/${name}`);
