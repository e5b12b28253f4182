/** Tables as numbers: normalisation, one-hot codes and class numbers, all learnt from the training part alone. */

import { ConfigError, DataError } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import { sha256Hex } from "../core/sha256.js";
import { warnOnce } from "../core/warnings.js";
import type { Json } from "./batch-source.js";
import { codeOf } from "./codes.js";
import { checkKinds } from "./options.js";
import type { Row } from "./row.js";
import { type Field, fieldNamed, type Schema, schemaOf } from "./schema.js";
import { mappedAccess, type Stage } from "./stage.js";
import { showValue } from "./violation.js";

export interface TableOptions {
  /** Feature columns in order; unless told, the fields of role `feature`, or else all but the targets. */
  features?: readonly string[];
  /** Target column; unless told, the field of role `target`. */
  target?: string;
  /** `classification` (class numbers) or `regression`; unless told, by the type of the target: numbers are regressed. */
  task?: "classification" | "regression";
  /** Numbers become (x - mean) / std (`standard`, unless told), x to [0, 1] (`minmax`), or stay. */
  normalize?: "standard" | "minmax" | "none";
  /** The same for the target of a regression; `none` unless told. `decodeTarget` undoes it. */
  normalizeTarget?: "standard" | "minmax" | "none";
}

/** How one feature column becomes `width` numbers: x to (x - offset) / scale; a category to its one-hot code. */
export interface FeatureEncoding {
  name: string;
  kind: "number" | "category" | "bool" | "image";
  width: number;
  offset: number;
  scale: number;
  /** Vocabulary of a category, in code-unit order. */
  values?: string[];
}

export interface TargetEncoding {
  name: string;
  task: "classification" | "regression";
  /** Names of the classes, by number. */
  classes?: string[];
  offset: number;
  scale: number;
}

/** A JSON-able record: kept with a model, it encodes plain rows for prediction exactly as in training. */
export interface TableEncoding {
  features: FeatureEncoding[];
  target?: TargetEncoding;
  /** Numbers of an encoded row. */
  width: number;
}

export interface EncodedRow {
  features: Float32Array;
  /** Class number, or the (normalised) value. */
  target?: number;
}

const NORMALIZERS = ["standard", "minmax", "none"] as const;

/**
 * Learns an encoding in one pass over the training part. Missing numbers later become 0 (the mean with `standard`, the
 * least number with `minmax`), missing and unknown categories the zero code (unknown ones with a warning); a missing
 * target is an error.
 */
export async function fitTable(
  train: { readonly stage: Stage<Row> },
  options: TableOptions = {},
): Promise<TableEncoding> {
  checkKinds("fitTable", options, {
    features: "texts",
    target: "text",
    task: ["classification", "regression"],
    normalize: NORMALIZERS,
    normalizeTarget: NORMALIZERS,
  });
  await train.stage.prepare();
  const schema = schemaOf(train.stage, "fitTable");
  const targetName = options.target ?? schema.fields.find((field) => field.role === "target")?.name;
  const names = options.features ?? featureNames(schema, targetName);
  const fields = names.map((name) => fieldNamed(schema, name, "fitTable"));
  const target = targetName === undefined ? undefined : fieldNamed(schema, targetName, "fitTable");
  const learners = fields.map((field) => learner(field, options.normalize ?? "standard"));
  const classify =
    target !== undefined && (options.task ?? (isNumber(target) ? "regression" : "classification")) === "classification";
  const targetLearner =
    target && (classify ? new Categories(target) : new Moments(target, options.normalizeTarget ?? "none"));
  for await (const chunk of train.stage.open({ epoch: 0, skip: 0 })) {
    for (const row of chunk as Row[]) {
      for (const each of learners) each.see(row[each.field.name]);
      targetLearner?.see(row[target!.name]);
    }
  }
  const features = learners.map((each) => each.encoding());
  const width = features.reduce((sum, feature) => sum + feature.width, 0);
  if (!targetLearner) return { features, width };
  const { values, offset, scale } = targetLearner.encoding();
  const encoded: TargetEncoding = {
    name: target!.name,
    task: classify ? "classification" : "regression",
    offset,
    scale,
  };
  return { features, width, target: classify ? { ...encoded, classes: values } : encoded };
}

function featureNames(schema: Schema, target: string | undefined): string[] {
  const marked = schema.fields.filter((field) => field.role === "feature");
  const chosen = marked.length > 0 ? marked : schema.fields.filter((field) => field.role === undefined);
  return chosen.map((field) => field.name).filter((name) => name !== target);
}

const isNumber = ({ type }: Field): boolean => type === "float32" || type === "int32";

interface Learner {
  readonly field: Field;
  see(value: unknown): void;
  encoding(): FeatureEncoding;
}

function learner(field: Field, normalize: "standard" | "minmax" | "none"): Learner {
  const { type, name } = field;
  if (isNumber(field)) return new Moments(field, normalize);
  if (type === "category") return new Categories(field);
  if (type === "bool") return new Fixed(field, "bool", 1, 1);
  if (type === "image")
    return new Fixed(
      field,
      "image",
      field.shape!.reduce((a, b) => a * b, 1),
      255,
    );
  throw new ConfigError(`fitTable: column "${name}" of type ${type} cannot be a feature.`, {
    where: "fitTable",
    hint: "Declare it as category, give it the role ignore, or name the features.",
  });
}

/** Mean, deviation and range of numbers; Welford's update, so that the result depends on the order of rows alone. */
class Moments implements Learner {
  private count = 0;
  private mean = 0;
  private squares = 0;
  private least = Number.POSITIVE_INFINITY;
  private greatest = Number.NEGATIVE_INFINITY;

  constructor(
    readonly field: Field,
    private readonly normalize: "standard" | "minmax" | "none",
  ) {}

  see(value: unknown): void {
    if (typeof value !== "number") return;
    this.count++;
    const delta = value - this.mean;
    this.mean += delta / this.count;
    this.squares += delta * (value - this.mean);
    if (value < this.least) this.least = value;
    if (value > this.greatest) this.greatest = value;
  }

  encoding(): FeatureEncoding {
    const { field, normalize, count } = this;
    const base = { name: field.name, kind: "number", width: 1 } as const;
    if (normalize === "none" || count === 0) return { ...base, offset: 0, scale: 1 };
    const [offset, scale] =
      normalize === "standard"
        ? [this.mean, Math.sqrt(this.squares / count)]
        : [this.least, this.greatest - this.least];
    // A constant column carries nothing: it becomes 0.
    return { ...base, offset, scale: scale > 0 ? scale : 1 };
  }
}

/** The values of a category, those of the schema or else those seen, in code-unit order. */
class Categories implements Learner {
  private readonly seen = new Set<string>();

  constructor(readonly field: Field) {}

  see(value: unknown): void {
    if (value !== null && value !== undefined) this.seen.add(String(value));
  }

  encoding(): FeatureEncoding {
    const { field } = this;
    const numeric = isNumber(field);
    const sorted = [...this.seen].sort((a, b) => (numeric ? Number(a) - Number(b) : a < b ? -1 : 1));
    const values = field.values ? [...field.values] : sorted;
    return { name: field.name, kind: "category", width: values.length, offset: 0, scale: 1, values };
  }
}

class Fixed implements Learner {
  constructor(
    readonly field: Field,
    private readonly kind: "bool" | "image",
    private readonly width: number,
    private readonly scale: number,
  ) {}

  see(): void {}

  encoding(): FeatureEncoding {
    return { name: this.field.name, kind: this.kind, width: this.width, offset: 0, scale: this.scale };
  }
}

/** Encodes plain rows, e.g. for prediction. Rows need no target. */
export function encodeRow(encoding: TableEncoding, row: Readonly<Record<string, unknown>>): EncodedRow {
  const features = new Float32Array(encoding.width);
  let at = 0;
  for (const feature of encoding.features) {
    encodeFeature(feature, row[feature.name], features, at);
    at += feature.width;
  }
  return { features };
}

function encodeFeature(feature: FeatureEncoding, value: unknown, out: Float32Array, at: number): void {
  const { kind, name, offset, scale, values, width } = feature;
  if (value === null) return; // 0, or the zero code
  if (value === undefined) {
    throw new DataError(`encode: the row has no column "${name}".`, {
      where: "encode",
      hint: "Missing values are null.",
    });
  }
  switch (kind) {
    case "number":
      if (typeof value !== "number") throw wrongKind(name, "a number", value);
      if (!Number.isFinite(value)) throw wrongKind(name, "a finite number", value);
      out[at] = (value - offset) / scale;
      return;
    case "bool":
      if (typeof value !== "boolean") throw wrongKind(name, "true or false", value);
      out[at] = value ? 1 : 0;
      return;
    case "image": {
      const pixels = value as ArrayLike<number>;
      if (pixels.length !== width) throw wrongKind(name, `${width} bytes`, value);
      for (let i = 0; i < width; i++) out[at + i] = pixels[i] / scale;
      return;
    }
    case "category": {
      const code = codeOf(values!, String(value));
      if (code >= 0) out[at + code] = 1;
      else
        warnOnce("unknown-category", `encode: column "${name}" has a value that training never saw: "${value}".`, {
          name,
        });
    }
  }
}

const wrongKind = (name: string, expected: string, value: unknown): DataError =>
  new DataError(`encode: column "${name}": expected ${expected}, got ${showValue(value)}.`, { where: "encode" });

function encodeTarget({ name, task, classes, offset, scale }: TargetEncoding, value: unknown): number {
  if (task === "classification") {
    const code = value === null || value === undefined ? -1 : codeOf(classes!, String(value));
    if (code >= 0) return code;
    throw new DataError(
      `encode: target "${name}": expected one of ${classes!.length} classes, got ${showValue(value)}.`,
      {
        where: "encode",
        hint: "Filter rows without a target out; give the schema the full list of values.",
      },
    );
  }
  if (typeof value !== "number") throw wrongKind(name, "a number", value);
  if (!Number.isFinite(value)) throw wrongKind(name, "a finite number", value);
  return (value - offset) / scale;
}

/** From a model's output back to the target's unit (regression). */
export const decodeTarget = (encoding: TableEncoding, value: number): number =>
  value * encoding.target!.scale + encoding.target!.offset;

export function encodeStage(parent: Stage<Row>, encoding: TableEncoding): Stage<EncodedRow> {
  const encode = (row: Row): EncodedRow => {
    const encoded = encodeRow(encoding, row);
    if (encoding.target) encoded.target = encodeTarget(encoding.target, row[encoding.target.name]);
    return encoded;
  };
  const schema: Schema = {
    fields: [
      { name: "features", type: "list", items: "float32" },
      ...(encoding.target
        ? [{ name: "target", type: encoding.target.task === "classification" ? "int32" : "float32" } as Field]
        : []),
    ],
  };
  return {
    parents: [parent],
    prepare: () => parent.prepare(),
    schema,
    step: { encode: sha256Hex(canonicalJson(encoding)) as Json },
    access: (epoch) => mappedAccess(parent, epoch, (row) => encode(row)),
    async *open(pass) {
      for await (const chunk of parent.open(pass)) yield chunk.map(encode);
    },
  };
}
