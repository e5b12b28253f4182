/** A worker that trains for the page, keeping its runs in the private file system. */
import { OpfsStore, serveTraining } from "tenon/runs";

serveTraining(undefined, { store: new OpfsStore("worker-runs"), clock: () => performance.now() });
