/** What every run store promises: one table, run over memory, the file system and the browser's private file system. */

import { RunError } from "../../src/core/errors.js";
import { type RunStore, readText, writeText } from "../../src/core/store.js";

/** vitest's, or what a bare page has for it. */
type Expect = (value: any) => any;

const utf8 = new TextEncoder();

async function* inTwo(text: string) {
  yield utf8.encode(text.slice(0, 3));
  yield utf8.encode(text.slice(3));
}

const refusal = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error) => error,
  );

export const storeCases: [name: string, run: (store: RunStore, expect: Expect) => Promise<void>][] = [
  [
    "writes, reads and measures files, making folders",
    async (store, expect) => {
      await writeText(store, "a/b/c.txt", "hello");
      expect(await store.size("a/b/c.txt")).toBe(5);
      expect(await readText(store, "a/b/c.txt")).toBe("hello");
      expect([...(await store.read("a/b/c.txt", 1, 3))]).toEqual([...utf8.encode("el")]);
      expect([...(await store.read("a/b/c.txt", 3))]).toEqual([...utf8.encode("lo")]);
      expect([...(await store.read("a/b/c.txt", 4, 99))]).toEqual([...utf8.encode("o")]);
      expect(await store.size("a/b")).toBe(undefined);
      expect(await store.size("a/none")).toBe(undefined);
    },
  ],
  [
    "replaces a file as a whole, from bytes or from a stream",
    async (store, expect) => {
      await writeText(store, "f", "a long first text");
      await store.write("f", inTwo("second"));
      expect(await readText(store, "f")).toBe("second");
      await store.write("f", new Uint8Array(0));
      expect(await store.size("f")).toBe(0);
    },
  ],
  [
    "appends and cuts back",
    async (store, expect) => {
      await store.append("log/x.jsonl", utf8.encode("one\n"));
      await store.append("log/x.jsonl", utf8.encode("two\n"));
      expect(await readText(store, "log/x.jsonl")).toBe("one\ntwo\n");
      await store.truncate("log/x.jsonl", 4);
      expect(await readText(store, "log/x.jsonl")).toBe("one\n");
      await store.append("log/x.jsonl", utf8.encode("2\n"));
      expect(await readText(store, "log/x.jsonl")).toBe("one\n2\n");
      const error = await refusal(store.truncate("log/x.jsonl", 100));
      expect(String(error)).toMatch(/at least 100 bytes expected, got 6/);
      expect(await store.size("log/x.jsonl")).toBe(6);
    },
  ],
  [
    "lists by name, files and folders apart",
    async (store, expect) => {
      await writeText(store, "r/b.txt", "");
      await writeText(store, "r/a/deep.txt", "");
      await writeText(store, "r/c.txt", "");
      expect(await store.list("r")).toEqual([
        { name: "a", kind: "folder" },
        { name: "b.txt", kind: "file" },
        { name: "c.txt", kind: "file" },
      ]);
      expect(await store.list("nowhere")).toEqual([]);
      expect(await store.list("")).toEqual([{ name: "r", kind: "folder" }]);
    },
  ],
  [
    "removes files and whole folders, and nothing else",
    async (store, expect) => {
      await writeText(store, "r/a/x", "1");
      await writeText(store, "r/ab", "2");
      await store.remove("r/a");
      await store.remove("r/none");
      expect(await store.list("r")).toEqual([{ name: "ab", kind: "file" }]);
      await store.remove("r/ab");
      expect(await store.list("r")).toEqual([]);
    },
  ],
  [
    "claims a folder once",
    async (store, expect) => {
      const claims = await Promise.all(Array.from({ length: 5 }, () => store.claim("runs/abc-1")));
      expect(claims.filter(Boolean)).toEqual([true]);
      expect(await store.claim("runs/abc-2")).toBe(true);
      expect(await store.list("runs/abc-1")).toEqual([]);
    },
  ],
  [
    "locks once, and again after the release, which counts once",
    async (store, expect) => {
      const release = await store.lock("r/lock");
      const error = await refusal(store.lock("r/lock"));
      expect(error instanceof RunError).toBe(true);
      expect(String(error)).toMatch(/is locked by/);
      const other = await store.lock("r/other");
      await release();
      const again = await store.lock("r/lock");
      await release();
      expect(String(await refusal(store.lock("r/lock")))).toMatch(/is locked by/);
      await again();
      await other();
    },
  ],
  [
    "refuses paths and names that could leave the store",
    async (store, expect) => {
      const paths = [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        "a/./b",
        "..",
        "a\\..\\b",
        "c:/x",
        "a/\0",
        "nul",
        "x.",
      ];
      for (const path of paths) {
        for (const attempt of [
          () => store.read(path),
          () => writeText(store, path, "x"),
          () => store.append(path, new Uint8Array(1)),
          () => store.truncate(path, 0),
          () => store.size(path),
          () => store.list(path),
          () => store.remove(path),
          () => store.claim(path),
          () => store.lock(path),
        ]) {
          const error = await refusal((async () => attempt())());
          expect(error instanceof RunError && /needs a path inside the store/.test(error.message)).toBe(true);
        }
      }
    },
  ],
  [
    "says which file is missing",
    async (store, expect) => {
      for (const attempt of [() => store.read("r/none"), () => store.truncate("r/none", 0)]) {
        expect(String(await refusal(attempt()))).toMatch(/r\/none: no such file/);
      }
    },
  ],
  [
    "takes views of shared memory, and chunks that their maker uses again",
    async (store, expect) => {
      const sharing = typeof SharedArrayBuffer === "function";
      const bytes = new Uint8Array(sharing ? new SharedArrayBuffer(3) : new ArrayBuffer(3)).fill(7);
      await store.write("f", bytes);
      await store.append("f", bytes);
      expect([...(await store.read("f"))]).toEqual([7, 7, 7, 7, 7, 7]);
      async function* reusing() {
        const chunk = new Uint8Array(2);
        for (let i = 1; i <= 3; i++) yield chunk.fill(i);
      }
      await store.write("g", reusing());
      expect([...(await store.read("g"))]).toEqual([1, 1, 2, 2, 3, 3]);
    },
  ],
  [
    "gives fresh bytes that nobody shares",
    async (store, expect) => {
      const bytes = new Uint8Array([1, 2, 3]);
      await store.write("f", bytes);
      bytes[0] = 9;
      const read = await store.read("f");
      read[1] = 9;
      expect([...(await store.read("f"))]).toEqual([1, 2, 3]);
    },
  ],
];
