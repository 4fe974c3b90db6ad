// Runs the built Worker under workerd, for tests: one process, ready in a fraction of a second, without any network.
//
// Reads one line of JSON: { "dir", "database_url", "vars", "port", "assets" }. Prints one when the Worker answers:
// { "url", "pid" }. Then obeys lines, each answered with a line of JSON: `scheduled` runs the cron handler; `stop`
// ends workerd at the very moment at which nothing is under `waitUntil`, as the platform may. It ends, and workerd
// with it, when its input does. What the Worker logs goes to standard error.
//
// `dir` holds what `cargo xtask dist cloudflare` built; `vars` are variables and secrets. The rest may be left out:
// without `assets` no files are served, and with `"direct": true` there is nothing before the Worker that plays
// Cloudflare's part, so that it can be measured alone.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { workerConfig } from "./config.mjs";
import { network } from "./network.mjs";

/** How long what is under `waitUntil` may take after `stop`, as on the platform after an answer. */
const DRAIN_MS = 30_000;

const HERE = dirname(fileURLToPath(import.meta.url));

// workerd must not outlive this process, however it ends: a shell holds a pipe from it, and the end of the pipe is
// the end of workerd. The shell says workerd's process id on descriptor 4.
const TIE = `
"$@" 4>&- 5<&- & pid=$!
echo "$pid" >&4
{ cat <&5 >/dev/null; kill -KILL "$pid" 2>/dev/null; } 3>&- 4>&- &
exec 3>&- 4>&- 5<&-
wait "$pid"`;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const options = JSON.parse((await lines.next()).value ?? fail("no options on standard input"));
const folder = mkdtempSync(join(tmpdir(), "nest-workers-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
  process.on(signal, () => process.exit(1));
}

const { workerd, pid, ports, ended } = await start();
const port = options.direct ? ports.http : await network(options.port ?? 0, ports.http);
say({ url: `http://127.0.0.1:${port}`, pid });

for await (const line of lines) {
  if (line === "scheduled") {
    const response = await fetch(`http://127.0.0.1:${ports.control}/scheduled`);
    say({ scheduled: response.ok, detail: await response.text() });
  } else if (line === "stop") {
    const left = options.direct ? undefined : await settled();
    process.kill(pid, "SIGKILL");
    await ended;
    say({ stopped: true, left });
    break;
  } else if (line !== "") {
    say({ error: `unknown order: ${line}` });
  }
}
process.exit(0);

/** Waits, as the platform does, until nothing is under `waitUntil`; returns how much is when the time is over. */
async function settled() {
  const until = Date.now() + DRAIN_MS;
  for (;;) {
    const pending = Number(await (await fetch(`http://127.0.0.1:${ports.control}/pending`)).text());
    if (pending === 0 || Date.now() > until) {
      return pending;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Starts workerd, and returns when it listens and the Worker answers. */
async function start() {
  const file = join(folder, "workerd.capnp");
  const config = workerConfig({ ...options, port: options.direct ? options.port : 0, dir: resolve(options.dir), here: HERE });
  writeFileSync(file, config, { mode: 0o600 });
  const args = ["serve", "--experimental", "--control-fd=3", "--import-path=/", file];
  const workerd = spawn("sh", ["-c", TIE, "sh", binary(), ...args], {
    stdio: ["ignore", 2, 2, "pipe", "pipe", "pipe"],
  });
  const ended = new Promise((resolve) => workerd.on("exit", (code, signal) => resolve(signal ?? code)));
  const pid = Number(await firstLine(workerd.stdio[4]));
  const ports = {};
  const wanted = options.direct ? ["http"] : ["http", "control"];
  for await (const line of createInterface({ input: workerd.stdio[3] })) {
    const event = JSON.parse(line);
    if (event.event === "listen") {
      ports[event.socket] = event.port;
    }
    if (wanted.every((name) => name in ports)) {
      break;
    }
  }
  if (!("http" in ports)) {
    fail(`workerd ended at its start (${await ended})`);
  }
  // The first request makes the instance; whatever it answers, the next one finds it ready.
  await (await fetch(`http://127.0.0.1:${ports.http}/healthz`)).arrayBuffer();
  ended.then((code) => process.stderr.write(`workerd ended: ${code}\n`));
  return { workerd, pid, ports, ended };
}

/** workerd's own program, beside the Node that runs this, or where NEST_EDGE_TOOLS says. */
function binary() {
  const modules = process.env.NEST_EDGE_TOOLS
    ? join(process.env.NEST_EDGE_TOOLS, "node_modules")
    : join(dirname(process.execPath), "..", "..");
  const system = `${process.platform}-${process.arch === "x64" ? "64" : process.arch}`;
  return join(modules, "@cloudflare", `workerd-${system}`, "bin", "workerd");
}

async function firstLine(stream) {
  for await (const line of createInterface({ input: stream })) {
    return line;
  }
  return fail("workerd did not start");
}

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function fail(why) {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}
