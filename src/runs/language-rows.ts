/** Rows of a table as data for language models: documents, prompts with their responses, or chats. */

import { ConfigError, DataError, nearest } from "../core/errors.js";
import { warn } from "../core/warnings.js";
import { type CollateOptions, type Dataset, encodeInstructions, instructionStep, openDataset } from "../data/index.js";
import { instructionParts } from "../data/language.js";
import type { Field } from "../data/schema.js";
import type { Tokenizer } from "../tokenizers/index.js";
import { type DataConfig, dataKindOf, placesOf } from "./data-config.js";
import { CACHED_BYTES, refuseEmpty, tellSkipped } from "./table-rows.js";

/** The rows of a config with a `format`, split by the seed. */
export interface LanguageRows {
  readonly train: Dataset;
  readonly val?: Dataset;
  /** Every text that a model will see of a row, for tokenizers that are made from texts. */
  readonly texts: (rows: Dataset) => AsyncIterable<string>;
}

/** Opens what `data` names. Throws ConfigError or DataError naming the field or the file. */
export async function openLanguageRows(data: DataConfig, seed: number, where: string): Promise<LanguageRows> {
  const kind = dataKindOf(data);
  const files: Dataset[] = [];
  let fields = data.schema?.fields as Field[] | undefined;
  for (const place of placesOf(data[kind])) {
    const options = { ...(kind === "text" ? { by: "document" } : {}), ...data.options };
    fields ??= await neededFields(await openDataset({ [kind]: place, options }), data, where);
    const { onViolation } = data;
    const schema = { fields };
    files.push(openDataset({ [kind]: place, schema, onViolation, options: { extraColumns: "drop", ...options } }));
  }
  const [first, ...others] = files;
  const rows = others.length > 0 ? first.concat(...others) : first;
  const shares = Object.fromEntries(Object.entries(data.split).filter(([, share]) => share > 0));
  const parts = rows.split(shares, { seed, stratify: data.stratify, group: data.group });
  const { train, val } = parts as { train: Dataset; val?: Dataset };
  await refuseEmpty({ train, val }, where);
  tellSkipped(files, where);
  const column = data.column ?? "text";
  async function* texts(of: Dataset): AsyncGenerator<string> {
    for await (const row of of) {
      if (data.format === "documents") yield String(row[column]);
      else
        for (const part of instructionParts(row, { columns: data.columns, ...chatColumn(data) }, where))
          yield part.text;
    }
  }
  return { train, val, texts };
}

/** The columns that a format reads, as text whatever they look like. */
async function neededFields(rows: Dataset, data: DataConfig, where: string): Promise<Field[]> {
  const names = rows.schema.fields.map(({ name }) => name);
  const { columns = {}, format } = data;
  const { prompt = "instruction", input = "input", response = "output", messages = "messages" } = columns;
  const needed: Field[] =
    format === "documents"
      ? [{ name: data.column ?? "text", type: "string" }]
      : format === "chat"
        ? [{ name: messages, type: "json" }]
        : [
            { name: prompt, type: "string" },
            { name: response, type: "string" },
          ];
  for (const { name } of needed) {
    if (names.includes(name)) continue;
    const near = nearest(name, names);
    throw new ConfigError(`${where}: has no column "${name}", which data of the format "${format}" need.`, {
      where: format === "documents" ? "data.column" : "data.columns",
      hint: `${near ? `Did you mean "${near}"? ` : ""}The columns are ${names.join(", ")}: name them in data.${format === "documents" ? "column" : "columns"}.`,
    });
  }
  if (format === "prompt-response" && (columns.input !== undefined || names.includes(input))) {
    needed.push({ name: input, type: "string", nullable: true });
  }
  for (const column of [data.stratify, data.group]) {
    if (column !== undefined && !needed.some(({ name }) => name === column)) {
      needed.push({ name: column, type: "category", nullable: true });
    }
  }
  return needed;
}

/** Rows have messages only where the format is chat, whatever their columns are called. */
const chatColumn = ({ format, columns }: DataConfig) => ({
  messages: format === "chat" ? (columns?.messages ?? "messages") : "\0none",
});

export interface ExampleOptions {
  readonly data: DataConfig;
  readonly tokenizer: Tokenizer;
  readonly endOfText: number | undefined;
  /** Longest example in ids. */
  readonly maxLength: number;
  readonly where: string;
}

/** Rows as ids and labels, -100 where the model only reads. Longer ones than `maxLength` follow `data.collate.ragged`. */
export async function encodeExamples(rows: Dataset, size: number, options: ExampleOptions): Promise<Dataset> {
  const { data, tokenizer, endOfText, maxLength, where } = options;
  const { ragged = "pad" } = data.collate ?? {};
  const overflow = ragged === "truncate" ? "truncate" : data.onViolation === "skip" ? "skip" : "error";
  const how = { columns: data.columns, ...chatColumn(data), endOfText, maxLength, overflow } as const;
  const step = instructionStep(tokenizer, JSON.stringify(how));
  const encoded = rows.flatMap(encodeInstructions(tokenizer, how), step);
  const examples = (data.cache ?? size <= CACHED_BYTES) ? encoded.cache() : encoded;
  const kept = await examples.count().catch((cause) => {
    if (!(cause instanceof DataError) || cause.where !== "encodeInstructions") throw cause;
    throw new DataError(`${where}: ${cause.message.replace(/^encodeInstructions: /, "").replace(/ Pass .*$/, "")}`, {
      where,
      hint: 'A larger blockSize, "collate": { "ragged": "truncate" } or "onViolation": "skip" allow for long examples.',
      cause,
    });
  });
  const all = await rows.count();
  if (kept === 0) throw new DataError(`${where}: none of ${all} examples fits into ${maxLength} ids.`, { where });
  if (kept < all) {
    warn(
      "rows-skipped",
      `${where}: ${all - kept} of ${all} examples do not fit into ${maxLength} ids, and are left out.`,
      {
        where,
        rows: all - kept,
      },
    );
  }
  return examples as unknown as Dataset;
}

/** How examples become batches: padded on the right, where causal attention does not see it. */
export function exampleBatches({ collate = {} }: DataConfig, pad: number | undefined): CollateOptions {
  return { ragged: "pad", multipleOf: collate.multipleOf, padValue: { ids: pad ?? 0, labels: -100 } };
}
