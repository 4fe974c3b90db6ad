// Passes an upstream's stream to the client inside the runtime: no chunk crosses into WebAssembly, and none into
// JavaScript while the stream runs, where each would cost some 50 us. The runtime splits the stream: one branch it
// pipes to the client by itself, the other it keeps until the end, when it is read in a few large pieces.

const LF = 10;
const CR = 13;
const D = 100;

/** How a stream ended: `EndCause` in edge/core/src/host/mod.rs, in its order. */
const EOF = 0;
const BROKEN = 1;
const IDLE = 2;
const CLIENT_LEFT = 3;
const CUT = 4;

/** How much of the kept branch is read at once. */
const PIECE_BYTES = 64 * 1024;

/**
 * A stream with the bytes of `response`, unchanged and as the client takes them. `ended` is called once, when it is
 * over, with the cause, the last `tailBytes` bytes and the count of events; what it returns is sent after them, unless
 * the client left. Aborting `controller` ends the call to the upstream; `client` is the signal that the client left, and
 * `cut` that the edge ends the stream. Behind a client that left the upstream is read on for `drainMs` and `drainBytes`.
 */
export function pass(response, controller, client, cut, idleMs, drainMs, drainBytes, tailBytes, ended) {
  const [shown, kept] = response.body.tee();
  const { readable, writable } = new IdentityTransformStream();
  const listener = new Listener(kept, tailBytes);
  // Whether the client is still there when the stream is closed makes no difference any more.
  const ignore = () => {};
  let cause;
  let drained = false;

  function abort(why) {
    cause ??= why;
    if (cause !== CLIENT_LEFT || drainMs === 0) {
      controller.abort();
    } else {
      drain().catch(ignore);
    }
  }

  /** Reads on behind the client, whose own end of the pipe is let go when the rest is known. */
  async function drain() {
    if (drained) {
      return;
    }
    drained = true;
    clearInterval(timer);
    const limit = setTimeout(() => controller.abort(), drainMs);
    await listener.toTheEnd(drainBytes);
    clearTimeout(limit);
    controller.abort();
    ended(CLIENT_LEFT, listener.meter.tail(), listener.meter.events);
  }

  async function finish(failed) {
    clearInterval(timer);
    const writer = writable.getWriter();
    const why = failed ? await whoFailed(writer) : EOF;
    // The client may have left meanwhile.
    cause ??= why;
    if (cause === CLIENT_LEFT && drainMs > 0) {
      await drain();
      return writer.abort();
    }
    if (cause !== EOF) {
      controller.abort();
    }
    await listener.toTheEnd();
    const closing = ended(cause, listener.meter.tail(), listener.meter.events);
    if (cause === CLIENT_LEFT) {
      return writer.abort();
    }
    if (closing.length > 0) {
      await writer.write(closing);
    }
    return writer.close();
  }

  // Two looks without a byte between them are a whole span of silence; the longest that is taken for one is two.
  const timer = setInterval(() => {
    if (listener.isSilent()) {
      abort(IDLE);
    }
  }, idleMs / 2);
  client.addEventListener("abort", () => abort(CLIENT_LEFT));
  cut.addEventListener("abort", () => abort(CUT));
  shown
    .pipeTo(writable, { preventClose: true, preventAbort: true })
    .then(() => finish(false), () => finish(true))
    .catch(ignore);
  return readable;
}

/** A pipe fails at either end: where the client is gone, its end of the stream is closed already. */
async function whoFailed(writer) {
  const still = Promise.resolve(BROKEN);
  return Promise.race([writer.closed.then(() => CLIENT_LEFT, () => CLIENT_LEFT), still.then(() => still)]);
}

/** Hears what the upstream says without keeping pace with it. */
class Listener {
  meter;
  #reader;
  #over = false;
  #reading = Promise.resolve();
  #isReading = false;
  #heard = false;
  #silentLooks = 0;

  constructor(stream, tailBytes) {
    this.meter = new Meter(tailBytes);
    this.#reader = stream.getReader({ mode: "byob" });
  }

  /** Reads what was kept since the last look, and whether it is the second that finds nothing. */
  isSilent() {
    this.#silentLooks = this.#isReading && !this.#heard ? this.#silentLooks + 1 : 0;
    this.#heard = false;
    if (!this.#isReading) {
      this.#isReading = true;
      this.#reading = this.#listen();
    }
    return this.#silentLooks >= 2;
  }

  /** Reads the rest, `most` bytes of it; a stream that broke or was aborted ends where it did. */
  async toTheEnd(most = Infinity) {
    await this.#reading;
    for (let left = most; !this.#over && left > 0; ) {
      left -= await this.#read();
    }
  }

  /** What is there already, and whatever comes next. */
  async #listen() {
    while ((await this.#read()) === PIECE_BYTES);
    await this.#read();
    this.#isReading = false;
  }

  async #read() {
    if (this.#over) {
      return 0;
    }
    try {
      const { done, value } = await this.#reader.read(new Uint8Array(PIECE_BYTES));
      if (!done) {
        this.#heard = true;
        this.meter.push(value);
        return value.length;
      }
    } catch {
      // The other branch has told why.
    }
    this.#over = true;
    return 0;
  }
}

/** Counts events and keeps the last bytes, as `EventCounter` in shared and `Meter` in edge/core do. */
export class Meter {
  events = 0;
  #tailBytes;
  #tail = new Uint8Array(0);
  #lineIsEmpty = true;
  #lineIsData = false;
  #eventHasData = false;

  constructor(tailBytes) {
    this.#tailBytes = tailBytes;
  }

  push(piece) {
    this.#count(piece);
    const kept = this.#tail.subarray(Math.max(0, this.#tail.length + piece.length - this.#tailBytes));
    const added = piece.subarray(Math.max(0, piece.length - this.#tailBytes));
    this.#tail = new Uint8Array(kept.length + added.length);
    this.#tail.set(kept);
    this.#tail.set(added, kept.length);
  }

  /** The last bytes that were pushed. */
  tail() {
    return this.#tail;
  }

  /** An event ends at an empty line, if one of its lines was data. */
  #count(piece) {
    for (const byte of piece) {
      if (byte === LF) {
        if (!this.#lineIsEmpty) {
          this.#eventHasData ||= this.#lineIsData;
        } else if (this.#eventHasData) {
          this.events += 1;
          this.#eventHasData = false;
        }
        this.#lineIsEmpty = true;
        this.#lineIsData = false;
      } else if (this.#lineIsEmpty && byte !== CR) {
        this.#lineIsEmpty = false;
        this.#lineIsData = byte === D;
      }
    }
  }
}
