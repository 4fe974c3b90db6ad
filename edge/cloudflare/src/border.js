// Between the runtime's requests and responses and the core's. A head crosses as one string, since a call between
// JavaScript and WebAssembly costs more than splitting a string does; no part of a head can hold a line break.

/** Method, URL, and then names and values of the headers, each on its own line. */
export function requestHead(request) {
  return `${request.method}\n${request.url}${lines(request.headers)}`;
}

/** The status, and then names and values of the headers, each on its own line. */
export function responseHead(response) {
  return `${response.status}${lines(response.headers)}`;
}

/** Sends a request without following redirects. `body` is null or a Uint8Array. */
export function send(url, method, headers, body, signal) {
  return fetch(url, { method, headers: pairs(headers), body, signal, redirect: "manual" });
}

/** A response; `body` is null, a Uint8Array or a ReadableStream. */
export function reply(status, headers, body) {
  return new Response(body, { status, headers: pairs(headers) });
}

function lines(headers) {
  let text = "";
  for (const [name, value] of headers) {
    text += `\n${name}\n${value}`;
  }
  return text;
}

function pairs(text) {
  const parts = text.split("\n");
  const headers = [];
  for (let at = 0; at + 1 < parts.length; at += 2) {
    headers.push([parts[at], parts[at + 1]]);
  }
  return headers;
}
