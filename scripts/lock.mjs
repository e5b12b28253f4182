/** Work that one process at a time may do. */
import { mkdirSync, rmSync, statSync, utimes } from "node:fs";

/**
 * Does the work while the folder `lock` is ours; waits while it is another's. Who holds it touches it all the time, so
 * that one of `stale` milliseconds was left by a process that was killed: it is taken away.
 */
export async function locked(lock, work, stale = 120_000) {
  while (!made(lock)) {
    if (age(lock) > stale) rmSync(lock, { recursive: true, force: true });
    else await new Promise((resolve) => setTimeout(resolve, Math.min(100, stale)));
  }
  // One that was taken from us, as after a sleep of the machine, may be gone: no matter.
  const beat = setInterval(() => utimes(lock, new Date(), new Date(), () => {}), stale / 10);
  try {
    return await work();
  } finally {
    clearInterval(beat);
    rmSync(lock, { recursive: true, force: true });
  }
}

function made(lock) {
  try {
    mkdirSync(lock);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

/** Milliseconds since a touch; 0 for what is gone by now, which nobody may take away. */
function age(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat ? Date.now() - stat.mtimeMs : 0;
}
