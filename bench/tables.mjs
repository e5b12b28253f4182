// Tables of figures, in Markdown, and what stands in them for what is absent.

/** The first two lines of a table. */
export const tableHead = (cells) => `${row(cells)}\n|${cells.map((_, i) => (i ? "---:" : "---")).join("|")}|`;

export const row = (cells) => `| ${cells.join(" | ")} |`;

export const table = (head, rows) => [tableHead(head), ...rows.map(row)].join("\n");

const present = (values) => values.filter((value) => value !== undefined);

/** The greatest and the least of the figures that there are; undefined where there is none. */
export const most = (...values) => (present(values).length > 0 ? Math.max(...present(values)) : undefined);
export const least = (...values) => (present(values).length > 0 ? Math.min(...present(values)) : undefined);

/** How many times the second the first is; a dash where one of them is absent. */
export const ratio = (a, b) => (a === undefined || b === undefined ? "–" : `${(a / b).toFixed(2)}x`);
