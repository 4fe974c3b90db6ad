// What Cloudflare's network does before a Worker, as far as the edge relies on it: it says who the client is, whatever
// the client claims. `Control` is the runner's own way in.

import { WorkerEntrypoint } from "cloudflare:workers";

export default {
  fetch(request, env) {
    const headers = new Headers(request.headers);
    // `clientIp` is "127.0.0.1:4711" or "[::1]:4711".
    headers.set("cf-connecting-ip", request.cf.clientIp.replace(/:\d+$/, "").replace(/^\[|\]$/g, ""));
    return env.NEXT.fetch(new Request(request, { headers }));
  },
};

export class Control extends WorkerEntrypoint {
  async fetch(request) {
    if (new URL(request.url).pathname === "/pending") {
      return this.env.PENDING.fetch(request);
    }
    const result = await this.env.EDGE.scheduled({ scheduledTime: new Date(), cron: "* * * * *" });
    return new Response(result.outcome, { status: result.outcome === "ok" ? 200 : 500 });
  }
}
