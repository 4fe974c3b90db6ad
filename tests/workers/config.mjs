// What workerd is told: the Worker and its bindings as wrangler.toml describes them, and what Cloudflare has before it.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const WRANGLER = fileURLToPath(new URL("../../wrangler.toml", import.meta.url));

/** The configuration, in Cap'n Proto's text form. */
export function workerConfig({ dir, database_url, vars = {}, port = 0, assets, direct = false, here }) {
  const wrangler = readFileSync(WRANGLER, "utf8");
  const date = text(setting(wrangler, "compatibility_date", /"([^"]+)"/));
  const flags = [...setting(wrangler, "compatibility_flags", /\[([^\]]*)\]/).matchAll(/"([^"]+)"/g)];
  const compatibility = `compatibilityDate = ${date}, compatibilityFlags = [${flags.map((it) => text(it[1]))}]`;
  const database = new URL(database_url);
  const bindings = Object.entries(vars).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`);
  bindings.push(`(name = "HYPERDRIVE", hyperdrive = (designator = "postgres", scheme = "postgresql",
      database = ${text(decodeURIComponent(database.pathname.slice(1)))},
      user = ${text(decodeURIComponent(database.username))},
      password = ${text(decodeURIComponent(database.password))}))`);
  const services = [
    `(name = "edge", worker = (modules = [${direct ? [] : [`${module("watch.mjs", here)},`]}${modules(dir)}], ${compatibility},
      bindings = [${bindings}], globalOutbound = "network"))`,
    `(name = "postgres", external = (address = ${text(address(database))}, tcp = ()))`,
    `(name = "network", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true)))`,
  ];
  const sockets = [`(name = "http", address = "127.0.0.1:${port}", http = (), service = "${direct ? "edge" : "front"}")`];
  if (!direct) {
    const next = assets ? "assets" : "edge";
    services.push(`(name = "front", worker = (modules = [${module("front.mjs", here)}],
      compatibilityDate = ${date}, compatibilityFlags = ["service_binding_extra_handlers"],
      bindings = [(name = "NEXT", service = "${next}"), (name = "EDGE", service = "edge"),
        (name = "PENDING", service = (name = "edge", entrypoint = "Pending"))]))`);
    sockets.push(`(name = "control", address = "127.0.0.1:0", http = (), service = (name = "front", entrypoint = "Control"))`);
  }
  if (assets && !direct) {
    const first = JSON.stringify([...setting(wrangler, "run_worker_first", /\[([^\]]*)\]/).matchAll(/"([^"]+)"/g)].map((it) => it[1]));
    services.push(`(name = "assets", assets = (path = ${text(assets)}, userWorker = "edge",
      config = ${text(`{"not_found_handling":"none","run_worker_first":${first}}`)}))`);
  }
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [${services.join(",\n")}],
  sockets = [${sockets.join(",\n")}],
);
`;
}

/** The Worker's files: JavaScript, and the WebAssembly that it imports. The first one is the entry. */
function modules(dir) {
  const files = readdirSync(dir).filter((name) => /\.(js|wasm)$/.test(name));
  files.sort((a, b) => Number(b === "index.js") - Number(a === "index.js"));
  return files.map((name) => {
    const kind = name.endsWith(".wasm") ? "wasm" : "esModule";
    return `(name = ${text(name)}, ${kind} = embed ${text(join(dir, name))})`;
  });
}

/** A file of the runner's own. */
function module(name, here) {
  return `(name = ${text(name)}, esModule = embed ${text(join(here, name))})`;
}

function address(database) {
  return `${database.hostname}:${database.port || "5432"}`;
}

/** The first value of `name` in wrangler.toml: its top level is this machine. */
function setting(wrangler, name, value) {
  const found = wrangler.match(new RegExp(`^${name}\\s*=\\s*${value.source}`, "m"));
  if (!found) {
    throw new Error(`wrangler.toml has no ${name}`);
  }
  return found[1];
}

/** A text as Cap'n Proto writes it. */
function text(value) {
  const bytes = [...Buffer.from(String(value))];
  const plain = (byte) => byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
  const escaped = (byte) => `\\x${byte.toString(16).padStart(2, "0")}`;
  return `"${bytes.map((byte) => (plain(byte) ? String.fromCharCode(byte) : escaped(byte))).join("")}"`;
}
