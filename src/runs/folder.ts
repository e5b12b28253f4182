/** What lies in the folder of a run besides its manifest. */

/** Held by whoever writes the run. */
export const LOCK = "run.lock";

/** Folder of the checkpoints. */
export const CHECKPOINTS = "checkpoints";
