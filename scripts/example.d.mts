/** A config of `examples/` with its files where the data are, and those that are not there. */
export function exampleConfig(path: string): { config: Record<string, unknown>; missing: string[] };
