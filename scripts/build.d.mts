export function buildIfStale(): Promise<void>;
/** SHA-256 over the scripts of `dist/`, each one read by `textOf`. */
export function buildHash(textOf: (path: string) => string | Uint8Array): string;
