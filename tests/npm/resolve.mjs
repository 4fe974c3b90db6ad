// Preloaded by `node --import`: the packages that a script names are those of NEST_TEST_NPM, so that no checkout needs
// a `node_modules`. Whatever else a script names stays where it is.

import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

const HERE = new URL("./", import.meta.url).href;
const INSTALLED = pathToFileURL(`${process.env.NEST_TEST_NPM}/package.json`).href;

registerHooks({
  resolve(name, context, next) {
    const ours = context.parentURL?.startsWith(HERE) && !/^(\.|\/|file:|node:)/.test(name);
    return next(name, ours ? { ...context, parentURL: INSTALLED } : context);
  },
});
