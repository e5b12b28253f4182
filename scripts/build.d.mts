import type { StdioOptions } from "node:child_process";

export function build(stdio?: StdioOptions): void;
export function buildIfStale(stdio?: StdioOptions): Promise<void>;
