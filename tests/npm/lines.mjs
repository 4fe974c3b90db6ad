// A script that is talked with: one line of JSON asks, one answers.

import { createInterface } from "node:readline";

// Standard output is for answers; a library that has something to say says it in the log.
console.log = console.info = console.debug = console.error;

/** Answers each line by what `answer` gives for it, one after the other. It ends with its input, and the process too. */
export async function obey(answer) {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
  }
  process.exit(0);
}
