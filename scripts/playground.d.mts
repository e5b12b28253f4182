export function buildPlayground(outDir: string): Promise<void>;
export function servePlayground(
  outDir: string,
  options?: { port?: number; isolated?: boolean },
): Promise<{ url: string; close(): Promise<void> }>;
