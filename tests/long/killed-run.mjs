/** A training run to be killed: `node killed-run.mjs '{"runs":"file:///…/runs.js","store":"…","config":{…}}'`. Goes on where it was. */
const { runs, store, config, runId } = JSON.parse(process.argv[2]);
const { train } = await import(runs);

async function go(resume) {
  const run = train(config, { store, ...(resume ? { resume } : {}) });
  for await (const event of run) {
    if (event.type === "start") console.log(`from ${event.fromStep} in ${event.executionId}`);
    if (event.type === "step") console.log(`step ${event.step}`);
  }
  return run;
}

try {
  await go(runId);
} catch (error) {
  // Killed when all was written, and before it could leave.
  if (/is done, there is nothing to resume/.test(error.message)) process.exit(0);
  // Killed before its first checkpoint, or before it had a folder: then it starts again.
  if (!/holds no run|no complete checkpoint|no such file|is missing/.test(error.message)) throw error;
  console.log(`anew: ${error.message}`);
  await go();
}
console.log("done");
process.exit(0);
