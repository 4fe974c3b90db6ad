// The connection between a client and workerd. Cloudflare's network tells a Worker at once when its client has left;
// workerd by itself takes the end of what a client sends for just that, and notices when it next writes. So a client's
// end becomes a reset here.

import { connect, createServer } from "node:net";

/** Listens on `port` of this machine, any if 0, for the workerd on `workerd`; returns the port. */
export function network(port, workerd) {
  const server = createServer({ noDelay: true }, (client) => {
    const worker = connect({ port: workerd, host: "127.0.0.1", noDelay: true });
    client.pipe(worker, { end: false });
    worker.pipe(client);
    client.on("end", () => worker.resetAndDestroy());
    client.on("error", () => worker.resetAndDestroy());
    client.on("close", () => worker.destroy());
    worker.on("error", () => client.resetAndDestroy());
    worker.on("close", () => client.destroySoon());
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server.address().port)));
}
