export function tableHead(cells: readonly string[]): string;
export function row(cells: readonly string[]): string;
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string;
export function most(...values: readonly (number | undefined)[]): number | undefined;
export function least(...values: readonly (number | undefined)[]): number | undefined;
export function ratio(a: number | undefined, b: number | undefined): string;
