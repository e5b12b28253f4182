/** Row groups of a Parquet file: fetched, checked, decoded column by column, and put together as rows. */

import type { ColumnMetaData, DecodedArray, FileMetaData } from "hyparquet";
import type { ByteSource } from "../core/platform.js";
import { type Codecs, ExpansionBudget } from "./parquet-codecs.js";
import { chunkStart } from "./parquet-footer.js";
import { expandChunk, type Page } from "./parquet-pages.js";
import type { TopColumn } from "./parquet-schema.js";
import { isUtf8, valueParsers, withoutBigInt, withText } from "./parquet-values.js";
import { checkVariants } from "./parquet-variant.js";
import type { Row } from "./row.js";

/** hyparquet is loaded by the first Parquet file, so that other formats do not pay for it. */
export function parquetLibrary(): ReturnType<typeof loadLibrary> {
  loading ??= loadLibrary();
  loading.catch(() => {
    loading = undefined;
  });
  return loading;
}
let loading: ReturnType<typeof loadLibrary> | undefined;

async function loadLibrary() {
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
}

type Library = Awaited<ReturnType<typeof parquetLibrary>>;
type ColumnDecoder = Parameters<Library["readPage"]>[2];
/** The values of a column in order, in arrays of any kind. */
type Parts = readonly ArrayLike<unknown>[];

export class GroupReader {
  /** Undeclared columns that are text: decided by the first row group that is read and has rows. */
  private texts?: Set<string>;
  private readonly tree: ReturnType<Library["parquetSchema"]>;
  private readonly parsers: Library["DEFAULT_PARSERS"];

  constructor(
    private readonly library: Library,
    private readonly metadata: FileMetaData,
    private readonly columns: readonly TopColumn[],
    private readonly binary: "auto" | "text" | "bytes",
    private readonly expansionLimit: number | undefined,
  ) {
    this.tree = library.parquetSchema(metadata);
    const { DEFAULT_PARSERS } = library;
    this.parsers = { ...DEFAULT_PARSERS, ...valueParsers(DEFAULT_PARSERS.timestampFromMilliseconds) };
  }

  /** All rows of a group. Throws RangeError on what breaks the format. */
  async read(file: ByteSource, group: number): Promise<Row[]> {
    const { columns, num_rows } = this.metadata.row_groups[group];
    const names = new Set(this.columns.map(({ name }) => name));
    const wanted = columns.map(({ meta_data }) => meta_data!).filter((meta) => names.has(meta.path_in_schema[0]));
    const chunks = await readChunks(file, wanted);
    const bytes = wanted.reduce((sum, meta) => sum + Number(meta.total_compressed_size), 0);
    const budget = new ExpansionBudget(bytes, this.expansionLimit);
    const parts: Parts[] = [];
    for (const column of this.columns) {
      const leaves = wanted.filter((meta) => meta.path_in_schema[0] === column.name);
      parts.push(await this.decode(column, leaves, chunks, Number(num_rows), budget));
    }
    if (num_rows === 0n) return [];
    this.decideTexts(parts);
    const rows = toRows(this.columns, parts, Number(num_rows));
    for (const { name, undeclaredBytes, int64 } of this.columns) {
      if (undeclaredBytes && this.texts!.has(name)) {
        const texts = new Map<Uint8Array, string>();
        for (const row of rows) row[name] = withText(row[name], texts);
      }
      if (int64) for (const row of rows) row[name] = withoutBigInt(row[name]);
    }
    return rows;
  }

  /** One column of the top level: its leaves, put together where they are nested. */
  private async decode(
    column: TopColumn,
    leaves: readonly ColumnMetaData[],
    chunks: Map<ColumnMetaData, Uint8Array<ArrayBuffer>>,
    rows: number,
    budget: ExpansionBudget,
  ): Promise<Parts> {
    const { library, tree } = this;
    const decoded = [];
    for (const meta of leaves) {
      const schemaPath = library.getTreePath(tree, meta.path_in_schema);
      const chunk = chunks.get(meta)!;
      chunks.delete(meta);
      const { element } = schemaPath[schemaPath.length - 1];
      const pages = await expandChunk(
        chunk,
        {
          type: meta.type,
          typeLength: element.type_length ?? 0,
          codec: meta.codec,
          values: Number(meta.num_values),
          rows,
          maxDefinition: library.getMaxDefinitionLevel(schemaPath),
          maxRepetition: library.getMaxRepetitionLevel(schemaPath),
          flat: library.isFlatColumn(schemaPath),
          decimal: element.converted_type === "DECIMAL",
        },
        library.codecs,
        budget,
      );
      const decoder = {
        ...meta,
        pathInSchema: meta.path_in_schema,
        element,
        schemaPath,
        parsers: this.parsers,
        utf8: !column.undeclaredBytes,
      };
      const data = this.readPages(chunk, pages, decoder);
      const leafName = meta.path_in_schema.at(-1)!;
      if (schemaPath.some((node) => node.element.logical_type?.type === "VARIANT")) {
        checkVariants(data, leafName, budget);
      } else if (leafName === "key" && schemaPath.some(library.isMapLike)) refuseProto(data);
      decoded.push({ pathInSchema: meta.path_in_schema, data: Promise.resolve({ data, skipped: 0 }) });
    }
    const group = { groupStart: 0, groupRows: rows, asyncColumns: decoded };
    const [whole] = library.assembleAsync(group, tree, this.parsers).asyncColumns;
    return (await whole.data).data;
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

  private decideTexts(parts: readonly Parts[]): void {
    if (this.texts) return;
    const isText = (column: number) =>
      this.binary === "text" || (this.binary === "auto" && isUtf8(parts[column], new Set()));
    const undeclared = this.columns.map(({ undeclaredBytes, name }, i) => (undeclaredBytes && isText(i) ? [name] : []));
    this.texts = new Set(undeclared.flat());
  }
}

/** Gaps of so many bytes are read along, and reads grow to so many bytes, because requests cost more than bytes. */
const GAP = 1 << 13;
const RUN = 1 << 21;

/** The bytes of each chunk, neighbours read together. */
async function readChunks(
  file: ByteSource,
  wanted: readonly ColumnMetaData[],
): Promise<Map<ColumnMetaData, Uint8Array<ArrayBuffer>>> {
  const places = wanted.map((meta) => {
    const start = chunkStart(meta);
    return { meta, start, end: start + Number(meta.total_compressed_size) };
  });
  places.sort((a, b) => a.start - b.start);
  const runs: { start: number; end: number; places: typeof places }[] = [];
  for (const place of places) {
    const run = runs.at(-1);
    if (run && place.start <= run.end + GAP && place.end - run.start <= RUN) {
      run.end = Math.max(run.end, place.end);
      run.places.push(place);
    } else runs.push({ start: place.start, end: place.end, places: [place] });
  }
  const chunks = new Map<ColumnMetaData, Uint8Array<ArrayBuffer>>();
  await Promise.all(
    runs.map(async (run) => {
      const bytes = (file.bytes?.subarray(run.start, run.end) ??
        (await file.read(run.start, run.end))) as Uint8Array<ArrayBuffer>;
      for (const { meta, start, end } of run.places)
        chunks.set(meta, bytes.subarray(start - run.start, end - run.start));
    }),
  );
  return chunks;
}

/** Columns side by side become rows. */
function toRows(columns: readonly TopColumn[], parts: readonly Parts[], count: number): Row[] {
  const template: Row = {};
  for (const { name } of columns) template[name] = null;
  const rows: Row[] = [];
  for (let i = 0; i < count; i++) rows.push({ ...template });
  columns.forEach(({ name, element }, column) => {
    const nested = element.repetition_type === "REPEATED" || (element.num_children ?? 0) > 0;
    let at = 0;
    for (const part of parts[column]) {
      for (let i = 0; i < part.length && at < count; i++) {
        const value = part[i];
        // The library gives nothing for a list or struct that is null, and where a dictionary lacks a value.
        if (value !== undefined) rows[at][name] = value;
        else if (!nested) throw new RangeError(`the column "${name}" has no value in row ${at + 1} of its row group`);
        at++;
      }
    }
    if (at !== count) throw new RangeError(`the column "${name}" has ${at} of ${count} rows`);
  });
  return rows;
}

/** A map becomes an object, whose keys can be any text but one. */
function refuseProto(keys: unknown): void {
  if (keys === "__proto__") throw new RangeError('a map has the key "__proto__", which no object can hold');
  if (Array.isArray(keys)) for (const key of keys) refuseProto(key);
}
