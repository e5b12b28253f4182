/** What a part of the benchmark is given, and how it takes times. */

/** What this card can do at most, as measured here or told by its maker; operations and bytes per second. */
export interface Roofs {
  /** float32, fused multiply-adds count twice. */
  flops?: number;
  bandwidth?: number;
  /** float16 by subgroup matrices, summed in float32. */
  half?: number;
}

export interface Given {
  /** A rehearsal on a software adapter: smallest sizes, fewest rounds. */
  small: boolean;
  /** It was asked for. */
  software: boolean;
  measured: Roofs;
  nominal: Roofs;
}

/** What a part lets the others know. */
export interface Told {
  small?: boolean;
  /** No adapter: nothing can be measured. */
  absent?: string;
  measured?: Roofs;
  nominal?: Roofs;
  /** By the names of goals. */
  figures?: Record<string, number>;
}

/** Tells at once: what a part has measured stays known whatever becomes of its process. */
export const tell = (told: Told): void => void process.send?.(told);

/** A share of a roof, as goals have it. */
export const percent = (part: number, whole: number | undefined): number => (whole ? (100 * part) / whole : Number.NaN);

export type Part = (given: Given) => Promise<void>;

/**
 * Milliseconds of one round. `work(n)` does n rounds and waits once at the end; n grows until that wait, which costs up to a
 * few tenths of a millisecond whatever came before, no longer counts. The best of five, after a round that compiles.
 */
export async function perRound({ small }: Given, work: (rounds: number) => Promise<unknown>): Promise<number> {
  const timed = async (rounds: number) => {
    const start = performance.now();
    await work(rounds);
    return performance.now() - start;
  };
  await timed(1);
  let rounds = 1;
  let time = await timed(rounds);
  const enough = small ? 1 : 120;
  while (time < enough && rounds < 1000) {
    rounds = Math.min(1000, Math.max(2 * rounds, Math.ceil((1.2 * enough * rounds) / time)));
    time = await timed(rounds);
  }
  // What takes seconds is not repeated as often: the run has minutes.
  const repeats = small || time > 1000 ? 1 : 4;
  for (let i = 0; i < repeats; i++) time = Math.min(time, await timed(rounds));
  return time / rounds;
}
