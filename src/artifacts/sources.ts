/** Bytes to read from, wherever they are: memory, a Blob, a URL, a file, a folder of any of these. */

import { isBytes } from "../core/bytes.js";
import { ConfigError, DataError, kindOf, show } from "../core/errors.js";
import { type ByteSource, isPage, pathOfUrl, platform } from "../core/platform.js";
import { checkName, type RunStore, storeSource } from "../core/store.js";

/** Bytes in memory as a source. `name` appears in messages. */
export const bytesSource = (bytes: Uint8Array, name = "bytes"): ByteSource => ({
  name,
  byteLength: bytes.length,
  read: async (start, end) => new Uint8Array(bytes.subarray(start, end)),
});

/** A Blob or File as a source; only what is asked for is read. */
export const blobSource = (blob: Blob, name = (blob as File).name ?? "blob"): ByteSource => ({
  name,
  byteLength: blob.size,
  read: async (start, end) => new Uint8Array(await blob.slice(start, end).arrayBuffer()),
});

/** Fetches a whole URL, or opens a `file:` URL where the host has files; throws DataError naming it. */
export async function urlSource(url: string | URL): Promise<ByteSource> {
  const name = String(url);
  const { openFile } = platform();
  if (openFile && name.startsWith("file:")) return openFile(pathOfUrl(name));
  let response: Response;
  try {
    response = await fetch(name);
  } catch (cause) {
    throw new DataError(`${name}: cannot be fetched, ${(cause as Error).message}.`, { where: name, cause });
  }
  if (!response.ok) {
    throw new DataError(`${name}: cannot be fetched, the server answered ${response.status}.`, {
      where: name,
      status: response.status,
    });
  }
  if (isPage(response, name)) {
    await response.body?.cancel();
    throw new DataError(`${name}: cannot be fetched, the server answered with a page.`, {
      where: name,
      status: 404,
      hint: "Many servers do so where there is no such file.",
    });
  }
  return bytesSource(new Uint8Array(await response.arrayBuffer()), name);
}

/** What can be opened as a folder of named files: a path or URL of it, its files by name, or a place in a store. */
export type FolderLike =
  | string
  | URL
  | Readonly<Record<string, Uint8Array | Blob>>
  | ArrayLike<File>
  | { readonly store: RunStore; readonly folder: string };

/** A folder that is only read. */
export interface Folder {
  /** For messages. */
  readonly name: string;
  /** The file of that plain name, or undefined when there is none. */
  find(name: string): Promise<ByteSource | undefined>;
}

const isUrl = (text: string): boolean => /^[a-z][a-z0-9+.-]+:\/\//i.test(text) || /^(blob|data):/i.test(text);

/** Opens a folder. Names asked of it must be plain (no separators): a file list cannot lead out of it. */
export function openFolder(from: FolderLike): Folder {
  const plain = (name: string, find: (name: string) => Promise<ByteSource | undefined>) => ({
    name,
    find: (file: string) => find(checkName(file, name)),
  });
  if (typeof from !== "string" && (typeof from !== "object" || from === null)) {
    throw new ConfigError(`folder: needs a path, a URL or files by name, got ${kindOf(from)}.`, { where: "folder" });
  }
  if (typeof from === "string" && from.startsWith("opfs:/")) return plain(from, (file) => privateFile(from, file));
  if (from instanceof URL || (typeof from === "string" && isUrl(from))) return urlFolder(String(from));
  if (typeof from === "string") {
    const { openFile } = platform();
    if (!openFile) return urlFolder(new URL(from, globalThis.location?.href).href);
    return plain(from, (file) => ifPresent(from, () => openFile(`${from.replace(/\/+$/, "")}/${file}`)));
  }
  if ("store" in from && "folder" in from) {
    const { store, folder } = from as { store: RunStore; folder: string };
    return plain(folder, (file) => stored(store, folder === "" ? file : `${folder}/${file}`));
  }
  const files = isList(from) ? topLevel(from) : new Map(Object.entries(from as Record<string, Blob>));
  return plain("files", async (name) => {
    const file = files.get(name);
    if (file === undefined) return undefined;
    if (isBytes(file)) return bytesSource(file, name);
    if (typeof (file as Blob | null)?.arrayBuffer === "function") return blobSource(file, name);
    throw new ConfigError(`${name}: needs its bytes as a Uint8Array or a Blob, got ${kindOf(file)}.`, {
      where: name,
      hint: typeof file === "string" ? "Of a text: new TextEncoder().encode(text)." : undefined,
    });
  });
}

const isList = (from: object): from is ArrayLike<File> =>
  Array.isArray(from) || (typeof (from as FileList).item === "function" && "length" in from);

/** Files by name: of a folder that was chosen or dropped those at its top, and not those of folders in it. */
function topLevel(list: ArrayLike<File>): Map<string, Blob> {
  const all = Array.from(list, (file) => {
    const path = file?.webkitRelativePath || file?.name;
    if (typeof path === "string") return { file, path };
    throw new ConfigError(`folder: needs files in its list, got ${kindOf(file)}.`, { where: "folder" });
  });
  const depth = ({ path }: { path: string }) => path.split("/").length;
  const least = all.reduce((min, each) => Math.min(min, depth(each)), Number.POSITIVE_INFINITY);
  const files = new Map<string, { file: File; path: string }>();
  for (const each of all) {
    if (depth(each) !== least) continue;
    const { name } = each.file;
    const other = files.get(name);
    if (other) {
      throw new ConfigError(`folder: needs the files of one folder, got ${other.path} and ${each.path}.`, {
        where: "folder",
        hint: "Choose the folder that holds config.json itself.",
      });
    }
    files.set(name, each);
  }
  return new Map([...files].map(([name, { file }]) => [name, file]));
}

/** A file of the page's private file system, where runs are kept under names like `opfs:/runs/0625f1bc5c5f1d90-1`. */
async function privateFile(folder: string, name: string): Promise<ByteSource | undefined> {
  if (!globalThis.navigator?.storage?.getDirectory) {
    throw new DataError(`${folder}: needs the private file system of a page, and this host has none.`, {
      where: folder,
    });
  }
  const { OpfsStore } = await import("./opfs-store.js");
  return stored(new OpfsStore(folder.slice("opfs:/".length)), name);
}

const stored = async (store: RunStore, path: string): Promise<ByteSource | undefined> =>
  (await store.size(path)) === undefined ? undefined : storeSource(store, path);

function urlFolder(url: string): Folder {
  const base = new URL(url.endsWith("/") ? url : `${url}/`);
  return {
    name: url,
    find: (name) => ifPresent(url, () => urlSource(new URL(encodeURIComponent(checkName(name, url)), base))),
  };
}

/** A source, or undefined when the error says that there is no such file. */
async function ifPresent(folder: string, open: () => Promise<ByteSource>): Promise<ByteSource | undefined> {
  try {
    return await open();
  } catch (error) {
    const { cause, status } = error instanceof DataError ? error.details : {};
    const { code } = Object(cause) as { code?: unknown };
    if (status === 404 || code === "ENOENT") return undefined;
    if (code === "ENOTDIR")
      throw new DataError(`${folder}: is a file, a folder was expected.`, {
        where: folder,
        hint: `Name the folder that holds it: ${show(folder.replace(/[^/\\]+[/\\]*$/, "") || ".")}.`,
        cause,
      });
    throw error;
  }
}

/** All of a source as UTF-8 text, closing it; other bytes are a DataError. */
export async function sourceText(source: ByteSource): Promise<string> {
  const bytes = await source.read(0, source.byteLength).finally(() => source.close?.());
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError(`${source.name}: UTF-8 text expected, got other bytes.`, { where: source.name, cause });
  }
}
