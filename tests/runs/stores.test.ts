import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import promises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join, parse, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it, test } from "vitest";
import { RunError } from "../../src/core/errors.js";
import { type RunStore, readText, storeSource, writeText } from "../../src/core/store.js";
import { FileStore } from "../../src/node/file-store.js";
import { readInto } from "../../src/node/read.js";
import "../../src/node/platform.js";
import { MemoryStore } from "../../src/runs/memory-store.js";
import { openStore } from "../../src/runs/store.js";
import { storeCases } from "./store-cases.js";

const root = mkdtempSync(join(tmpdir(), "tenon-stores-"));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;
const folder = () => join(root, String(folders++));

const stores: [string, () => RunStore][] = [
  ["memory", () => new MemoryStore()],
  ["file system", () => new FileStore(folder())],
];

describe.each(stores)("%s store", (_, make) => {
  it.each(storeCases)("%s", (_name, run) => run(make(), expect));
});

describe("file system store", () => {
  it("opens by file: URL, blanks and umlauts included", async () => {
    const path = join(folder(), "ein Ordner, schön");
    await writeText(openStore(pathToFileURL(path).href), "a.txt", "here");
    expect(readFileSync(join(path, "a.txt"), "utf8")).toBe("here");
  });

  it("opens by path through the platform, and makes nothing before the first write", async () => {
    const path = folder();
    const store = openStore(path);
    expect(await store.list("")).toEqual([]);
    expect(await store.size("a")).toBeUndefined();
    expect(existsSync(path)).toBe(false);
    await writeText(store, "a/b.txt", "x");
    expect(readFileSync(join(path, "a/b.txt"), "utf8")).toBe("x");
  });

  it("says where no folder can be made, and comes to an end", async () => {
    const path = folder();
    writeFileSync(path, "");
    await expect(writeText(new FileStore(path), "a/b.txt", "x")).rejects.toThrow(
      /: a file is where a folder is needed\.$/,
    );
    await expect(writeText(new FileStore(join(path, "below")), "b.txt", "x")).rejects.toThrow(RunError);
    if (!existsSync("/proc/self")) return console.warn("skipped: no /proc, whose folders take no others");
    await expect(writeText(new FileStore("/proc/tenon"), "b.txt", "x")).rejects.toThrow(
      "/proc/tenon: no folder can be made",
    );
  });

  it("may be the root of the file system", async () => {
    const path = realpathSync(mkdtempSync(join(tmpdir(), "store-")));
    writeFileSync(join(path, "a.txt"), "here");
    const root = parse(path).root;
    expect(await new FileStore(root).size(relative(root, join(path, "a.txt")).replaceAll("\\", "/"))).toBe(4);
    rmSync(path, { recursive: true });
  });

  it("refuses links that lead outside, and takes those that stay inside", async () => {
    const path = folder();
    const secret = folder();
    mkdirSync(path);
    mkdirSync(secret);
    writeFileSync(join(secret, "s.txt"), "secret");
    symlinkSync(secret, join(path, "out"));
    symlinkSync(join(secret, "s.txt"), join(path, "file"));
    mkdirSync(join(path, "real"));
    symlinkSync("real", join(path, "in"));
    const store = new FileStore(path);
    for (const attempt of [
      () => store.read("out/s.txt"),
      () => store.read("file"),
      () => writeText(store, "out/new.txt", "x"),
      () => store.append("file", new Uint8Array(1)),
      () => store.truncate("file", 0),
      () => store.remove("out/s.txt"),
    ]) {
      await expect(attempt()).rejects.toThrow(/a link leads outside the store/);
    }
    expect(readFileSync(join(secret, "s.txt"), "utf8")).toBe("secret");
    symlinkSync(join(secret, "later.txt"), join(path, "nowhere"));
    await expect(store.append("nowhere", new Uint8Array(1))).rejects.toThrow(/nowhere: a link leads nowhere/);
    expect(readdirSync(secret)).toEqual(["s.txt"]);
    await writeText(store, "in/x.txt", "inside");
    expect(await readText(store, "real/x.txt")).toBe("inside");
  });

  it("leaves the old file and no litter when writing fails half-way", async () => {
    const path = folder();
    const store = new FileStore(path);
    await writeText(store, "a.txt", "old");
    async function* broken() {
      yield new Uint8Array(10);
      throw new Error("the source broke");
    }
    await expect(store.write("a.txt", broken())).rejects.toThrow("the source broke");
    expect(await readText(store, "a.txt")).toBe("old");
    expect(readdirSync(path)).toEqual(["a.txt"]);
  });

  it("says in words why the system refused", async () => {
    const path = folder();
    const store = new FileStore(path);
    await writeText(store, "a/b", "x");
    await expect(writeText(store, "a", "x")).rejects.toThrow(/is a folder|EISDIR|a part of the path/);
    await expect(writeText(store, "a/b/c", "x")).rejects.toThrow(/a file is where a folder is needed/);
    const full = "/dev/full";
    if (existsSync(full)) {
      mkdirSync(join(path, "d"));
      const dev = new FileStore("/dev");
      await expect(dev.append("full", new Uint8Array(10))).rejects.toThrow(/\/dev\/full: the disk is full/);
    } else console.log("skipped: a full disk, this system has no /dev/full");
  });

  it("takes over the lock of a dead process, and not that of a living one", async () => {
    const path = folder();
    const store = new FileStore(path);
    const hold = (end: string) => `
      const fs = require("node:fs"); const os = require("node:os");
      const start = Math.round(Number(process.hrtime.bigint()) / 1e6 - process.uptime() * 1000);
      fs.mkdirSync(${JSON.stringify(path)}, { recursive: true });
      fs.writeFileSync(${JSON.stringify(join(path, "run.lock"))}, JSON.stringify({ host: os.hostname(), pid: process.pid, start }));
      ${end}`;
    spawnSync(process.execPath, ["-e", hold("process.kill(process.pid, 'SIGKILL')")]);
    expect(existsSync(join(path, "run.lock"))).toBe(true);
    const release = await store.lock("run.lock");
    await expect(new FileStore(path).lock("run.lock")).rejects.toThrow(/locked by another run in this process/);
    await release();
    expect(readdirSync(path)).toEqual([]);

    writeFileSync(join(path, "run.lock"), JSON.stringify({ host: "elsewhere", pid: 1 }));
    await expect(store.lock("run.lock")).rejects.toThrow(/locked by a process on elsewhere.*remove/);
    // Process 1 lives, on every system with one.
    writeFileSync(join(path, "run.lock"), JSON.stringify({ host: (await import("node:os")).hostname(), pid: 1 }));
    await expect(store.lock("run.lock")).rejects.toThrow(/locked by process 1\./);
    writeFileSync(join(path, "run.lock"), '{"host":');
    await (await store.lock("run.lock"))();
  });

  it("leaves the lock of another in its place, when its own was removed meanwhile", async () => {
    const path = folder();
    const store = new FileStore(path);
    const release = await store.lock("run.lock");
    const others = JSON.stringify({ host: "elsewhere", pid: 1 });
    writeFileSync(join(path, "run.lock"), others);
    await release();
    expect(readFileSync(join(path, "run.lock"), "utf8")).toBe(others);
  });

  it("gives one lock to one of many that want it at once", async () => {
    for (let round = 0; round < 20; round++) {
      const path = folder();
      mkdirSync(path);
      writeFileSync(join(path, "run.lock"), "left by a crash");
      // Nor does what died as it took that lock over stand in the way.
      if (round % 2) writeFileSync(join(path, "run.lock.taking-over.tmp"), "left by another");
      const results = await Promise.allSettled(Array.from({ length: 12 }, () => new FileStore(path).lock("run.lock")));
      const won = results.filter(({ status }) => status === "fulfilled");
      expect(won).toHaveLength(1);
      for (const result of results) if (result.status === "rejected") expect(result.reason).toBeInstanceOf(RunError);
      expect(readdirSync(path)).toEqual(["run.lock"]);
    }
  });

  it("is a source for readers", async () => {
    const store = new FileStore(folder());
    await writeText(store, "f", "0123456789");
    const source = await storeSource(store, "f");
    expect([source.name, source.byteLength]).toEqual(["f", 10]);
    expect(new TextDecoder().decode(await source.read(2, 5))).toBe("234");
  });
});

describe("reading from a file", () => {
  it("asks the system for at most a GiB at once: Node aborts at 2 GiB", async () => {
    const asked: number[] = [];
    const file = {
      async read(_bytes: Uint8Array, offset: number, length: number, position: number) {
        expect(position).toBe(offset + 5);
        asked.push(length);
        return { bytesRead: length };
      },
    };
    // Pages that nobody touches take no room.
    const size = 2 ** 31 + 4096;
    expect(await readInto(file, new Uint8Array(size), 5)).toBe(size);
    expect(asked).toEqual([2 ** 30, 2 ** 30, 4096]);
  });

  it("tells where the file ended", async () => {
    const file = { read: async (_: Uint8Array, at: number) => ({ bytesRead: at === 0 ? 3 : 0 }) };
    expect(await readInto(file, new Uint8Array(9), 0)).toBe(3);
  });
});

describe("names", () => {
  it("are limited by their bytes, and made of whole characters", async () => {
    const store = new MemoryStore();
    await expect(writeText(store, "数".repeat(100), "x")).rejects.toThrow(/is longer than 200 bytes/);
    await expect(writeText(store, "\ud800a", "x")).rejects.toThrow(/holds half of a character/);
    await writeText(store, "数".repeat(66), "x");
    await writeText(store, "🦉", "x");
  });
});

test("a file system without links gives locks all the same", async () => {
  const { link } = promises;
  promises.link = async () => {
    throw Object.assign(new Error("no links"), { code: "EPERM", syscall: "link" });
  };
  syncBuiltinESMExports();
  try {
    const store = new FileStore(folder());
    const release = await store.lock("r/run.lock");
    await expect(store.lock("r/run.lock")).rejects.toThrow(/is locked by another run in this process/);
    await release();
    await (await store.lock("r/run.lock"))();
    expect(await store.list("r")).toEqual([]);
  } finally {
    promises.link = link;
    syncBuiltinESMExports();
  }
});
