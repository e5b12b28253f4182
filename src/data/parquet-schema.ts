/** The columns of a Parquet file as a schema of ours. */

import type { FileMetaData, SchemaElement, SchemaTree, Statistics } from "hyparquet";
import { inferValues, isCategory } from "./infer.js";
import type { Row } from "./row.js";
import type { Field, FieldType } from "./schema.js";

/** One chunk of every row group. */
export interface Leaf {
  /** The path of its names in a form that no name can confuse. */
  key: string;
  /** From the root to the leaf itself. */
  path: SchemaTree[];
  /** Bytes without a declared meaning; those of a VARIANT are its own. */
  undeclaredBytes: boolean;
  /** Part of a VARIANT. */
  variant: boolean;
}

/** A column of the top level of the file's schema. */
export interface TopColumn {
  name: string;
  node: SchemaTree;
  /** Lists, structs and maps. */
  nested: boolean;
  leaves: Leaf[];
  /** No group's statistics speak of nulls. */
  required: boolean;
  /** Least and greatest value by the statistics, where all groups have them. */
  range?: [number, number];
}

export const leafKey = (path: readonly string[]): string => JSON.stringify(path);

/** The columns of the top level, in the file's order; `tree` is the schema. */
export function topLevelColumns(tree: SchemaTree, rowGroups: FileMetaData["row_groups"]): TopColumn[] {
  // Looked up by name once per group: a search per column would cost the square of their number.
  const filled = rowGroups.filter(({ num_rows }) => num_rows !== 0n);
  const statistics = filled.map(({ columns }) => {
    const byName = new Map<string, Statistics | undefined>();
    for (const { meta_data } of columns) {
      const [name] = meta_data!.path_in_schema;
      if (!byName.has(name)) byName.set(name, meta_data!.statistics);
    }
    return byName;
  });
  return tree.children.map((node) => {
    const { name, repetition_type } = node.element;
    const nested = node.children.length > 0 || repetition_type === "REPEATED";
    const stats = statistics.map((group) => group.get(name));
    const required =
      repetition_type === "REQUIRED" ||
      stats.every((each) => each?.null_count !== undefined && Number(each.null_count) === 0);
    const bounds = stats.flatMap((each) => [each?.min_value ?? each?.min, each?.max_value ?? each?.max]);
    const range = bounds.every((bound) => typeof bound === "bigint" || typeof bound === "number")
      ? bounds
          .map(Number)
          .reduce<[number, number]>(
            ([least, most], bound) => [Math.min(least, bound), Math.max(most, bound)],
            [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
          )
      : undefined;
    return { name, node, nested, leaves: [...leavesOf(node, [tree])], required, range };
  });
}

function* leavesOf(node: SchemaTree, above: SchemaTree[]): Generator<Leaf> {
  const path = [...above, node];
  for (const child of node.children) yield* leavesOf(child, path);
  if (node.children.length > 0) return;
  const { type, converted_type, logical_type } = node.element;
  const variant = path.some(({ element }) => element.logical_type?.type === "VARIANT");
  const undeclaredBytes = !variant && type === "BYTE_ARRAY" && !converted_type && !logical_type;
  yield { key: leafKey(node.path), path, undeclaredBytes, variant };
}

const isText = ({ converted_type, logical_type }: SchemaElement): boolean =>
  ["UTF8", "ENUM"].includes(converted_type ?? "") || ["STRING", "ENUM", "UUID"].includes(logical_type?.type ?? "");

/** The type of a column of numbers, whatever its values are. */
function numberType({ element }: SchemaTree, range: TopColumn["range"]): "int32" | "float32" | undefined {
  const { type, converted_type, logical_type, scale = 0, precision = Number.POSITIVE_INFINITY } = element;
  if (type === "FLOAT" || type === "DOUBLE" || logical_type?.type === "FLOAT16") return "float32";
  if (converted_type === "DECIMAL") return scale > 0 || precision > 9 ? "float32" : "int32";
  if (type !== "INT32" && type !== "INT64") return undefined;
  if (/DATE|TIMESTAMP|NULL/.test(`${converted_type} ${logical_type?.type}`)) return undefined;
  const unsigned =
    converted_type === "UINT_32" ||
    (logical_type?.type === "INTEGER" && logical_type.bitWidth === 32 && !logical_type.isSigned);
  if (type === "INT32" && !unsigned) return "int32";
  return range !== undefined && range[0] >= -(2 ** 31) && range[1] < 2 ** 31 ? "int32" : "float32";
}

/** The type that the file itself says, for columns of whose values the sample has none. */
function declaredType(node: SchemaTree, range: TopColumn["range"], asText: boolean): Partial<Field> | undefined {
  const { element, children } = node;
  const { type, converted_type, logical_type, repetition_type } = element;
  if (repetition_type === "REPEATED" || converted_type === "LIST") {
    const item = itemOf(node);
    const declared = item && declaredType(item, undefined, asText)?.type;
    const items = declared === "int32" ? "float32" : declared;
    return items === "float32" || items === "string" || items === "bool" ? { type: "list", items } : undefined;
  }
  if (children.length > 0) return undefined;
  const number = numberType(node, range);
  if (number) return { type: number };
  if (type === "BOOLEAN") return { type: "bool" };
  if (isText(element)) return { type: "string" };
  if (!type?.endsWith("BYTE_ARRAY") || converted_type || logical_type) return undefined;
  return { type: asText && type === "BYTE_ARRAY" ? "string" : "bytes" };
}

/** What a list is a list of, in the forms that writers give it. */
function itemOf(list: SchemaTree): SchemaTree | undefined {
  const { element, children } = list;
  const plain = (node: SchemaTree): SchemaTree => ({
    ...node,
    element: { ...node.element, repetition_type: "REQUIRED" },
  });
  if (children.length === 0) return plain(list);
  const [repeated] = children;
  if (element.converted_type !== "LIST" || children.length > 1) return undefined;
  if (repeated.children.length === 0) return plain(repeated);
  return repeated.children.length === 1 ? repeated.children[0] : undefined;
}

/**
 * The field of a column: by the file's own types, and by the first rows what those leave open. `asText` says what bytes
 * without a declared meaning are.
 */
export function inferField(
  { name, node, nested, required, range }: TopColumn,
  sample: readonly Row[],
  asText: boolean,
): Field {
  const nullable = required ? {} : { nullable: true };
  const number = nested ? undefined : numberType(node, range);
  // Whole numbers that no float64 holds stay BigInt; they are names rather than amounts.
  if (number && !sample.some((row) => typeof row[name] === "bigint")) return { name, type: number, ...nullable };
  if (!nested && isText(node.element)) {
    // One loop that ends early: for a file of long texts the general question costs a twentieth of reading it.
    const texts: string[] = [];
    for (const row of sample) if (row[name] !== null) texts.push(row[name] as string);
    const type: FieldType = texts.length > 0 && isCategory(texts) ? "category" : "string";
    return { name, type, ...nullable };
  }
  const values = sample.map((row) => row[name]);
  if (values.every((value) => value === null)) {
    return { name, type: "json", ...declaredType(node, range, asText), ...nullable };
  }
  const { nullable: _, ...field } = inferValues(name, values);
  return { ...field, ...nullable };
}
