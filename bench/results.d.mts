export const cardTitle: string;
export function environment(): string;
export function writeSection(title: string, text: string, where?: string): void;
