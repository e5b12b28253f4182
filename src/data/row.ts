/** A row: values by the names of their columns. */
export type Row = Record<string, unknown>;
