// One-time codes by otplib: a line is a list of { secret, time_s, algorithm, digits }, the secret in base32 and the
// algorithm one of SHA1, SHA256 and SHA512; it is answered with the list of their codes.

import { generate } from "otplib";
import { obey } from "./lines.mjs";

await obey((asked) =>
  Promise.all(
    asked.map(({ secret, time_s, algorithm, digits }) =>
      generate({ secret, epoch: time_s, algorithm: algorithm.toLowerCase(), digits }),
    ),
  ),
);
