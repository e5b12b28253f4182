/** Arguments for the program, out of all that the benchmarks were given. */
export function programArgs(given: Record<string, unknown>): string[];
export function writeDown(report: string, write?: (title: string, text: string, where: string) => void): boolean;
