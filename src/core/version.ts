/** The version of this package; a test holds it equal to package.json. */
export const VERSION = "0.1.0";

/**
 * SHA-256 over the sorted list of the built files with their hashes. The build writes it in the place of this text
 * (scripts/build.mjs), once all files have theirs; where the sources run unbuilt, as in tests, the text stays.
 */
export const BUILD_HASH: string = "none: a source checkout that was not built";
