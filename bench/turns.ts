/** Contestants who take turns, so that a busy machine is busy for all. */

export type Work = () => Promise<unknown>;

/** The first line of an error; where a package was asked for is a path of this machine, and no matter. */
export const reasonOf = (error: unknown): string =>
  String(error)
    .split("\n")[0]
    .replace(/ imported from .*/, "")
    .slice(0, 240);

/** Makes what can be made and works once; who cannot is missing, with the reason. */
export async function prepared(makers: Record<string, () => Promise<Work>>) {
  const works: Record<string, Work> = {};
  const missing: Record<string, string> = {};
  for (const [name, make] of Object.entries(makers)) {
    try {
      const work = await make();
      await work();
      works[name] = work;
    } catch (error) {
      missing[name] = reasonOf(error);
    }
  }
  return { works, missing };
}

/**
 * The best time of each in milliseconds; a turn before those that count compiles. Who fails in a turn is missing from
 * then on, with the reason, and has no time.
 */
export async function best(
  works: Record<string, Work>,
  turns: number,
  missing: Record<string, string>,
): Promise<Record<string, number>> {
  const times: Record<string, number> = {};
  for (let turn = 0; turn <= turns; turn++) {
    for (const [name, work] of Object.entries(works)) {
      if (missing[name] !== undefined) continue;
      const start = performance.now();
      try {
        await work();
      } catch (error) {
        missing[name] = reasonOf(error);
        delete times[name];
        continue;
      }
      if (turn > 0) times[name] = Math.min(times[name] ?? Number.POSITIVE_INFINITY, performance.now() - start);
    }
  }
  return times;
}
