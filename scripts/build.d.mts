export function build(): void;
export function buildIfStale(): Promise<void>;
