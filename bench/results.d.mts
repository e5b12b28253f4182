export const cardTitle: string;
export function environment(): string;
export function writeSection(title: string, text: string, where?: string): void;
export class NotMeasured extends Error {}
export function section(
  title: string,
  suite: (say: (line?: string) => void) => unknown,
  write?: (title: string, text: string) => void,
): Promise<boolean>;
