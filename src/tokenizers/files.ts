/** Reading files from URLs and paths. */

import { DataError, FormatError } from "../core/errors.js";
import { isFetched, isPage, platform } from "../core/platform.js";

const LARGEST_FILE = 2 ** 29;

/** All bytes of a URL or path. */
export async function read(address: string): Promise<Uint8Array> {
  if (isFetched(address)) {
    let response: Response;
    try {
      response = await fetch(address);
    } catch (cause) {
      throw new DataError(`${address}: cannot be fetched.`, { where: address, cause });
    }
    if (!response.ok) {
      throw new DataError(`${address}: needs status 200, got ${response.status}.`, {
        where: address,
        status: response.status,
      });
    }
    if (isPage(response, address)) {
      await response.body?.cancel();
      throw new DataError(`${address}: needs a file, got a page.`, { where: address, status: 404 });
    }
    try {
      return new Uint8Array(await response.arrayBuffer());
    } catch (cause) {
      throw new FormatError(`${address}: needs the whole file, got an answer that was cut off.`, {
        where: address,
        cause,
      });
    }
  }
  const file = await (platform().openFile as NonNullable<ReturnType<typeof platform>["openFile"]>)(address);
  try {
    if (file.byteLength > LARGEST_FILE) throw tooLarge(address, file.byteLength);
    return await file.read(0, file.byteLength);
  } finally {
    await file.close?.();
  }
}

const tooLarge = (name: string, bytes: number) =>
  new FormatError(`${name}: needs at most ${LARGEST_FILE} bytes, got ${bytes}.`, { where: name });

export async function readIfThere(address: string): Promise<Uint8Array | undefined> {
  try {
    return await read(address);
  } catch (error) {
    if (error instanceof DataError && isMissing(error)) return undefined;
    throw error;
  }
}

/** A file that is not there; a server or a disk that fails must not look like one. Some hosts say 403 for 404. */
function isMissing({ details, cause }: DataError): boolean {
  const code = (cause as { code?: string } | undefined)?.code;
  return details.status === undefined
    ? !code || /^ENO(ENT|TDIR)$/.test(code)
    : /^4(0[34]|10)$/.test(`${details.status}`);
}

const utf8 = /* @__PURE__ */ new TextDecoder("utf-8", { fatal: true });

/** Bytes of a file as text. Throws FormatError for what is no UTF-8, and for more than there may be. */
export function text(bytes: Uint8Array, name: string): string {
  if (bytes.length > LARGEST_FILE) throw tooLarge(name, bytes.length);
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new FormatError(`${name}: needs UTF-8, got other bytes.`, { where: name, cause });
  }
}

export function parse(json: string, name: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new FormatError(`${name}: is not valid JSON: ${(cause as Error).message}.`, { where: name, cause });
  }
}
