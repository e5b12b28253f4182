/** Reading a part of an open file, however large. */

/** One system call reads fewer than 2^31 bytes; Node aborts where it is asked for more. */
const MOST = 2 ** 30;

/** What is read from: a file handle of `node:fs/promises`. */
interface Readable {
  read(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
}

/** Fills `bytes` with what lies at `start`; returns how many there were before the file ended. */
export async function readInto(file: Readable, bytes: Uint8Array, start: number): Promise<number> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, done, Math.min(MOST, bytes.length - done), start + done);
    if (bytesRead === 0) return done;
    done += bytesRead;
  }
  return bytes.length;
}
