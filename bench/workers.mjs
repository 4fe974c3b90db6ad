// What the edge costs under workerd: processor time of the one process, over a fixed count of requests.
//
// Each measurement is repeated, all of them in turn, so that what else the machine does falls on all; the table has
// the medians. An empty Worker stands beside the edge: what it costs is the runtime's own.

import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MODEL = "gpt-4o-mini";
// Guards nothing: the edge under measurement listens on loopback and knows one key.
const SECRET_KEY = "bench-only-0123456789-abcdefghijklmnopqrstuvwxyz";

/** What is measured, and the most that it may cost in milliseconds. */
const BUDGETS = { "instance start": 10, "trivial request": 0.7, "chat, c = 8": 1.5, "stream of 52 events, c = 8": 2.5 };

const { values: options } = parseArgs({
  options: {
    programs: { type: "string", default: "target/release" },
    repetitions: { type: "string", default: "5" },
    requests: { type: "string", default: "1000" },
    results: { type: "string", default: join(ROOT, "bench/results/workers.md") },
  },
});
const requests = Number(options.requests);
const program = (name) => join(options.programs, name);

const empty = mkdtempSync(join(tmpdir(), "nest-bench-"));
writeFileSync(join(empty, "index.js"), `export default { fetch() { return new Response("{}"); } };`);
const mock = await startMock();
try {
  const load = loadavg()[0];
  const key = newKey();
  const samples = {};
  for (let repetition = 1; repetition <= Number(options.repetitions); repetition += 1) {
    for (const [name, ms] of await measure(key)) {
      (samples[name] ??= []).push(ms);
      process.stderr.write(`${repetition}/${options.repetitions} ${name}: ${ms.toFixed(3)} ms\n`);
    }
  }
  const section = render(samples, load);
  process.stdout.write(section);
  appendFileSync(options.results, `\n${section}`);
} finally {
  mock.process.kill();
  rmSync(empty, { recursive: true });
}

/** One round of everything: names and milliseconds. */
async function measure(key) {
  const rounds = [];
  const floor = await startWorker(empty);
  rounds.push(["an empty Worker: process start", floor.startMs]);
  rounds.push(["an empty Worker: trivial request", await trivial(floor)]);
  await floor.stop();
  const edge = await startWorker(join(ROOT, "edge/cloudflare/build"));
  rounds.push(["process start", edge.startMs], ["instance start", edge.startMs - floor.startMs]);
  rounds.push(["trivial request", await trivial(edge)]);
  for (const connections of [1, 8]) {
    rounds.push([`chat, c = ${connections}`, chat(edge, key, connections, [])]);
    const stream = ["--stream", "--include-usage"];
    rounds.push([`stream of 52 events, c = ${connections}`, chat(edge, key, connections, stream)]);
  }
  await edge.stop();
  return rounds;
}

/** Calls of `/healthz`, one after the other. */
async function trivial(worker) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const call = () =>
    new Promise((resolve, reject) => {
      request(`${worker.url}/healthz`, { agent }, (response) => response.resume().on("end", resolve))
        .on("error", reject)
        .end();
    });
  for (let count = 0; count < 100; count += 1) {
    await call();
  }
  const before = cpuMs(worker.pid);
  for (let count = 0; count < requests; count += 1) {
    await call();
  }
  agent.destroy();
  return (cpuMs(worker.pid) - before) / requests;
}

/** Chat completions with a key, each recorded. */
function chat(worker, key, connections, more) {
  const args = ["--url", `${worker.url}/v1/chat/completions`, "--header", `authorization: Bearer ${key}`];
  args.push("--model", MODEL, "--pids", String(worker.pid), "--connections", String(connections));
  args.push("--warm", "0.5", "--duration", "60", "--max", String(requests), ...more);
  return JSON.parse(execFileSync(program("bench-load"), args, { encoding: "utf8" })).cpu_us / 1000;
}

/** Starts workerd with the Worker in `dir`; `startMs` is its processor time until the first answer. */
async function startWorker(dir) {
  const runner = spawn(process.execPath, [join(ROOT, "tests/workers/run.mjs")], { stdio: ["pipe", "pipe", "ignore"] });
  const vars = { SECRET_KEY, GROQ_API_KEY: "bench", RUST_LOG: "warn", OPENAI_MODEL_NAME: MODEL };
  // Everything is looked at as in earnest, and nothing is refused.
  vars.ADDRESS_LIMITS = "models=1000000000/m api=1000000000/m";
  vars.ORG_LIMITS =
    "requests_per_minute=1000000000 requests_per_day=100000000000 tokens_per_minute=100000000000 tokens_per_day=1000000000000 concurrent=100000";
  vars.OPENAI_BASE_URL = `http://127.0.0.1:${mock.port}/v1`;
  const database_url = process.env.DATABASE_URL;
  runner.stdin.write(`${JSON.stringify({ dir, database_url, vars, direct: true })}\n`);
  const lines = createInterface({ input: runner.stdout })[Symbol.asyncIterator]();
  const { url, pid } = JSON.parse((await lines.next()).value);
  const stop = async () => {
    runner.stdin.write("stop\n");
    await lines.next();
  };
  return { url, pid, stop, startMs: cpuMs(pid) };
}

/** Processor time of every thread of a process, in milliseconds. */
function cpuMs(pid) {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const ns = tasks.map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]));
  return ns.reduce((sum, it) => sum + it, 0) / 1e6;
}

async function startMock() {
  const child = spawn(program("bench-mock"), ["--listen", "127.0.0.1:0", "--model", MODEL], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  for await (const line of createInterface({ input: child.stderr })) {
    return { process: child, port: Number(line.split(":").pop()) };
  }
  throw new Error("bench-mock did not start");
}

/** A key of an organisation of its own. */
function newKey() {
  const env = { ...process.env, SECRET_KEY };
  const nest = (...args) => execFileSync(program("nest"), args, { env, encoding: "utf8" });
  nest("migrate", "up");
  const { org } = JSON.parse(nest("admin", "create", "--json", "--email", `bench-${Date.now()}@localhost`));
  return JSON.parse(nest("keys", "create", "--json", "--name", "bench", "--org", org)).key;
}

function render(samples, load) {
  const date = new Date().toISOString().slice(0, 16).replace("T", " ");
  const rows = Object.entries(samples).map(([name, all]) => {
    const sorted = all.toSorted((a, b) => a - b);
    const [least, median] = [sorted[0], sorted[Math.floor(sorted.length / 2)]];
    return `| ${name} | ${median.toFixed(2)} | ${least.toFixed(2)} | ${BUDGETS[name] ?? ""} |`;
  });
  return `## ${date} UTC

${cpus().length} cores, ${cpus()[0].model.trim()}, load ${load.toFixed(2)} at the start; ${options.repetitions} repetitions of ${requests} requests.

| workerd's processor time | median ms | least ms | budget ms |
|---|--:|--:|--:|
${rows.join("\n")}
`;
}
