// The Worker under test, with a count of what its requests have under `waitUntil`: on Cloudflare an isolate lives until
// that is over, for half a minute at most, and may be gone a moment later. The runner ends workerd in just that way.

import Edge from "./index.js";
import { WorkerEntrypoint } from "cloudflare:workers";

let pending = 0;

export default class extends Edge {
  constructor(ctx, env) {
    const waitUntil = ctx.waitUntil.bind(ctx);
    ctx.waitUntil = (task) => {
      pending += 1;
      waitUntil(task.finally(() => (pending -= 1)));
    };
    super(ctx, env);
  }
}

/** How much is pending, for the runner. */
export class Pending extends WorkerEntrypoint {
  fetch() {
    return new Response(String(pending));
  }
}
