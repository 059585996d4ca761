import type { Log } from './definitions.js';

/** Where nobody is told. */
export const silentLog: Log = { debug() {}, info() {}, warning() {}, error() {} };
