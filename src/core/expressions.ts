/** `expr`, as users import it: the nodes, and the elementary functions made of them. */

export * from "./expr.js";
export * from "./functions.js";
