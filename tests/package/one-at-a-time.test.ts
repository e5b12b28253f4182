/** The lock of the build (`scripts/lock.mjs`): test files, scripts and `npm run build` may all want to build at once. */
import { existsSync, statSync as look, mkdirSync, mkdtempSync, rmdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { locked } from "../../scripts/lock.mjs";

/** What another process does between our try to take a lock and our look at it. */
const looks = vi.hoisted(() => ({ after: undefined as (() => unknown) | undefined }));
vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>();
  return { ...fs, statSync: (...args: [string]) => (looks.after ? looks.after() : fs.statSync(...args)) };
});

const folder = mkdtempSync(join(tmpdir(), "tenon-lock-"));
afterAll(() => rmSync(folder, { recursive: true }));
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

test("a lock that is freed and taken by another while one looks at it is not taken away from that other", async () => {
  const lock = join(folder, "passed on");
  mkdirSync(lock); // a first process holds it
  looks.after = () => {
    looks.after = undefined;
    rmdirSync(lock);
    const seen = look(lock, { throwIfNoEntry: false });
    mkdirSync(lock); // a third one
    return seen;
  };
  let done = false;
  const waiting = locked(lock, () => {
    done = true;
  });
  expect(looks.after).toBeUndefined();
  await pause(300);
  expect(done).toBe(false);
  rmdirSync(lock);
  await waiting;
  expect(done).toBe(true);
});

test("work that takes longer than a lock may lie untouched keeps it; one that was left is taken away", async () => {
  const lock = join(folder, "long");
  mkdirSync(lock);
  const old = new Date(Date.now() - 60_000);
  utimesSync(lock, old, old);
  const order: string[] = [];
  const first = locked(lock, async () => {
    order.push("first begins");
    await pause(1500);
    order.push("first ends");
  }, 500); // biome-ignore format: the limit at its end
  const second = locked(lock, () => void order.push("second"), 500);
  await Promise.all([first, second]);
  expect(order).toEqual(["first begins", "first ends", "second"]);
  expect(existsSync(lock)).toBe(false);
});

test("a lock is freed by what fails, and a folder that cannot be made is an error, not a wait", async () => {
  const lock = join(folder, "failing");
  await expect(
    locked(lock, () => {
      throw new Error("broken");
    }),
  ).rejects.toThrow("broken");
  expect(await locked(lock, () => 5)).toBe(5);
  await expect(locked(join(folder, "absent", "lock"), () => 5)).rejects.toThrow("ENOENT");
});
