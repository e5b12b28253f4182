/** Contestants who take turns, so that a busy machine is busy for all. */

export type Work = () => Promise<unknown>;

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
      missing[name] = String(error).split("\n")[0].slice(0, 240);
    }
  }
  return { works, missing };
}

/** The best time of each in milliseconds; a turn before those that count compiles. */
export async function best(works: Record<string, Work>, turns: number): Promise<Record<string, number>> {
  const times: Record<string, number> = {};
  for (let turn = 0; turn <= turns; turn++) {
    for (const [name, work] of Object.entries(works)) {
      const start = performance.now();
      await work();
      if (turn > 0) times[name] = Math.min(times[name] ?? Number.POSITIVE_INFINITY, performance.now() - start);
    }
  }
  return times;
}
