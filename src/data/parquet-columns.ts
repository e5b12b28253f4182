/** Row groups of a Parquet file: fetched, checked, decoded column by column, and put together as rows. */

import type { ColumnMetaData, DecodedArray, FileMetaData, SchemaTree } from "hyparquet";
import type { ByteSource } from "../core/platform.js";
import { once } from "./once.js";
import { Breach, breachIn } from "./parquet-breach.js";
import { ExpansionBudget } from "./parquet-budget.js";
import { readChunks } from "./parquet-chunks.js";
import type { Codecs } from "./parquet-codecs.js";
import { expandChunk, type LeafColumn, type Page } from "./parquet-pages.js";
import { type Parts, rowsOf } from "./parquet-rows.js";
import { type Leaf, leafKey, type TopColumn } from "./parquet-schema.js";
import {
  compositeKeys,
  decodeTexts,
  finish,
  isUtf8,
  keysToText,
  valueParsers,
  withoutBigInt,
} from "./parquet-values.js";
import { checkVariants } from "./parquet-variant.js";
import type { Row } from "./row.js";

/** hyparquet is loaded by the first Parquet file, so that other formats do not pay for it. */
export const parquetLibrary = once(async () => {
  const [core, column, groups, schema, convert, geo, extra] = await Promise.all([
    import("hyparquet"),
    import("hyparquet/src/column.js"),
    import("hyparquet/src/rowgroup.js"),
    import("hyparquet/src/schema.js"),
    import("hyparquet/src/convert.js"),
    import("hyparquet/src/geoparquet.js"),
    import("hyparquet-compressors"),
  ]);
  const { markGeoColumns } = geo;
  const codecs = extra.compressors as Codecs;
  return { ...core, ...column, ...groups, ...schema, ...convert, markGeoColumns, codecs };
});

type Library = Awaited<ReturnType<typeof parquetLibrary>>;
type ColumnDecoder = Parameters<Library["readPage"]>[2];
/** A leaf of one row group: its chunk, and what the footer says about it. */
interface Chunk {
  leaf: Leaf;
  meta: ColumnMetaData;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Rows of a group, from its first on, at most so many. */
export type DecodedGroup = (most?: number) => Iterable<Row[]>;

/** Physical types whose values are plain numbers. */
const PLAIN = ["BOOLEAN", "INT32", "FLOAT", "DOUBLE"];

const OTHER_COLUMNS = "The other columns can be read: name them with the option columns.";

export class GroupReader {
  /** Are undeclared bytes of a column text? Decided by the first row group that is read and has rows. */
  private readonly texts = new Map<string, boolean>();
  private readonly parsers: Library["DEFAULT_PARSERS"];

  constructor(
    private readonly library: Library,
    private readonly rowGroups: FileMetaData["row_groups"],
    private readonly tree: SchemaTree,
    private readonly columns: readonly TopColumn[],
    private readonly binary: "auto" | "text" | "bytes",
    private readonly expansionLimit: number | undefined,
  ) {
    const { DEFAULT_PARSERS } = library;
    this.parsers = { ...DEFAULT_PARSERS, ...valueParsers(DEFAULT_PARSERS.timestampFromMilliseconds) };
  }

  /** Decodes a group; its rows are made as they are asked for. Throws Breach on what breaks the format. */
  async read(file: ByteSource, group: number): Promise<DecodedGroup> {
    const { columns, num_rows } = this.rowGroups[group];
    const rows = Number(num_rows);
    if (rows === 0) return () => [];
    const metas = new Map(columns.map(({ meta_data }) => [leafKey(meta_data!.path_in_schema), meta_data!]));
    const wanted = this.columns.flatMap(({ leaves }) => leaves.map(({ key }) => metas.get(key)!));
    const chunks = await readChunks(file, wanted);
    const bytes = columns.reduce((sum, { meta_data }) => sum + Number(meta_data!.total_compressed_size), 0);
    const budget = new ExpansionBudget(bytes, this.expansionLimit);
    const parts: Parts[] = [];
    for (const column of this.columns) {
      const place = `column "${column.name}" of row group ${group}`;
      try {
        const own = column.leaves.map((leaf) => {
          const meta = metas.get(leaf.key)!;
          const bytes = chunks.get(meta)!;
          chunks.delete(meta);
          return { leaf, meta, bytes };
        });
        parts.push(await this.decode(column, own, rows, budget));
      } catch (cause) {
        throw breachIn(place, cause, OTHER_COLUMNS);
      }
    }
    const names = this.columns.map(({ name }) => name);
    return (most = rows) => rowsOf(names, parts, Math.min(rows, most));
  }

  /** What undeclared bytes of a column are, as far as it is known. */
  isText(name: string): boolean {
    return this.texts.get(name) ?? this.binary !== "bytes";
  }

  /** One column of the top level: its leaves, put together where they are nested. */
  private async decode(
    column: TopColumn,
    chunks: readonly Chunk[],
    rows: number,
    budget: ExpansionBudget,
  ): Promise<Parts> {
    const { library } = this;
    const decoded: { leaf: Leaf; data: DecodedArray[] }[] = [];
    for (const { leaf, meta, bytes } of chunks) {
      const data = await this.decodeLeaf(leaf, meta, bytes, rows, budget);
      if (leaf.variant) checkVariants(data, meta.path_in_schema.at(-1)!, budget);
      decoded.push({ leaf, data });
    }
    this.decideText(column.name, decoded);
    for (const { leaf, data } of decoded) this.convertLeaf(column, leaf, data);
    let parts: Parts = decoded[0]?.data ?? [];
    if (column.nested) {
      const asyncColumns = decoded.map(({ leaf, data }) => ({
        pathInSchema: leaf.path.at(-1)!.path,
        data: Promise.resolve({ data, skipped: 0 }),
      }));
      const group = { groupStart: 0, groupRows: rows, asyncColumns };
      // A tree of this column alone: the library looks through all that it is given.
      const tree = { ...this.tree, children: [column.node] };
      const [whole] = library.assembleAsync(group, tree, this.parsers).asyncColumns;
      parts = (await whole.data).data.map((part) => finish(part) as unknown[]);
    }
    const count = parts.reduce((sum, { length }) => sum + length, 0);
    if (count !== rows) throw new Breach(`it has ${count} of ${rows} rows`);
    // The library gives nothing where a dictionary lacks a value.
    if (parts.some((part) => Array.isArray(part) && part.includes(undefined))) {
      throw new Breach("a page points beyond its dictionary");
    }
    return parts;
  }

  private async decodeLeaf(
    { path, undeclaredBytes }: Leaf,
    meta: ColumnMetaData,
    chunk: Uint8Array<ArrayBuffer>,
    rows: number,
    budget: ExpansionBudget,
  ): Promise<DecodedArray[]> {
    const { library } = this;
    const { element } = path[path.length - 1];
    const maxDefinition = library.getMaxDefinitionLevel(path);
    const isList = (node: SchemaTree) => library.isListLike(node) || library.isMapLike(node);
    const groups = path.slice(1, -1).filter((node, i) => !isList(node) && !isList(path[i]));
    const outermost = path.findIndex((node) => node.element.repetition_type === "REPEATED");
    const checked: LeafColumn = {
      type: meta.type,
      typeLength: element.type_length ?? 0,
      codec: meta.codec,
      values: Number(meta.num_values),
      rows,
      maxDefinition,
      maxRepetition: library.getMaxRepetitionLevel(path),
      listLevel: outermost < 0 ? maxDefinition : library.getMaxDefinitionLevel(path.slice(0, outermost + 1)),
      structs: groups.length,
      optional: element.repetition_type === "OPTIONAL",
      flat: library.isFlatColumn(path),
      decimal: element.converted_type === "DECIMAL",
      objects: !PLAIN.includes(meta.type) || element.converted_type === "DATE",
      json: element.converted_type === "JSON",
    };
    const pages = await expandChunk(chunk, checked, library.codecs, budget);
    const decoder = {
      ...meta,
      pathInSchema: meta.path_in_schema,
      element,
      schemaPath: path,
      parsers: this.parsers,
      utf8: !undeclaredBytes,
    };
    return this.readPages(chunk, pages, decoder);
  }

  /** The values of a chunk, page by page, with the headers that were checked. */
  private readPages(chunk: Uint8Array<ArrayBuffer>, pages: readonly Page[], decoder: ColumnDecoder): DecodedArray[] {
    const { library } = this;
    const parts: DecodedArray[] = [];
    let dictionary: DecodedArray | undefined;
    const reader = { view: new DataView(chunk.buffer, chunk.byteOffset, chunk.length), offset: 0 };
    for (const { content, nulls } of pages) {
      const header = library.parquetHeader(reader);
      // Writers count them in several ways where columns are nested.
      if (header.data_page_header_v2) header.data_page_header_v2.num_nulls = nulls;
      const compressors = { [decoder.codec]: () => content };
      const { data } = library.readPage(reader, header, { ...decoder, compressors }, dictionary, parts.at(-1), 0);
      if (header.type === "DICTIONARY_PAGE") dictionary = data && library.convert(data, decoder);
      // A row may go on from one page to the next: then the last part has grown.
      else if (data && data.length > 0 && data !== parts.at(-1)) parts.push(data);
    }
    return parts;
  }

  private decideText(column: string, leaves: readonly { leaf: Leaf; data: readonly unknown[] }[]): void {
    const undeclared = leaves.filter(({ leaf }) => leaf.undeclaredBytes);
    if (undeclared.length === 0 || this.texts.has(column)) return;
    const seen = new Set<Uint8Array>();
    const asText = this.binary === "auto" ? undeclared.every(({ data }) => isUtf8(data, seen)) : this.binary === "text";
    this.texts.set(column, asText);
  }

  /** Values of a leaf in our form, as far as that is done before they are put together. */
  private convertLeaf({ name, nested }: TopColumn, leaf: Leaf, data: unknown[]): void {
    const { path } = leaf;
    const { element } = path[path.length - 1];
    if (leaf.undeclaredBytes && this.isText(name)) {
      try {
        decodeTexts(data);
      } catch (cause) {
        throw new Breach((cause as Error).message, 'For bytes as they are, pass binary: "bytes".', cause);
      }
    }
    const key = path.findIndex(
      (node, i) => node.element.name === "key" && i >= 2 && this.library.isMapLike(path[i - 2]),
    );
    if (key >= 0 && key < path.length - 1) throw compositeKeys();
    if (key >= 0) keysToText(data, element);
    if (nested || element.type !== "INT64") return;
    data.forEach((part, i) => {
      // Moments and decimals are something else by now.
      const bigints = ArrayBuffer.isView(part) || (part as unknown[]).some((value) => typeof value === "bigint");
      if (bigints) data[i] = Array.from(part as ArrayLike<unknown>, withoutBigInt);
    });
  }
}
