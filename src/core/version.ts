/** Name and version of the package, as `package.json` has them; a test keeps them equal. */
export const PACKAGE = "tenon";
export const VERSION = "0.1.0";
